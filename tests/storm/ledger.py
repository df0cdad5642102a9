"""What the services acknowledged, kept outside of them: a line is on the disk before anyone counts on it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

CREATED, CANCEL_SENT, CANCELLED, SCHEDULED = "created", "cancel_sent", "cancelled", "scheduled"


@dataclass(frozen=True)
class Entry:
    """One acknowledgement, or a request whose answer nobody saw.

    Attributes:
        act: What was acknowledged: `CREATED` or `CANCELLED`, or `SCHEDULED` for a schedule, whose id stands for the
            job's; `CANCEL_SENT` stands for a request alone.
        shape: Names the spec: jobs of one shape do the same work.
    """

    act: str
    service: str
    kind: str
    request_id: str
    job_id: str
    shape: str = ""


class Ledger:
    """A file of entries, appended to and synced line by line."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.entries: list[Entry] = []
        self.answers: list[str] = []

    def write(self, entry: Entry) -> None:
        """Append an entry and return when it is on the disk."""
        os.write(self._descriptor, json.dumps(asdict(entry)).encode() + b"\n")
        os.fsync(self._descriptor)
        self.entries.append(entry)

    def wrong(self, answer: str) -> None:
        """Keep an answer that no service may give."""
        self.answers.append(answer)

    def jobs(self) -> dict[str, Entry]:
        """Return what was acknowledged as created, by the job's id."""
        return {entry.job_id: entry for entry in self.entries if entry.act == CREATED}

    def ids(self, act: str) -> set[str]:
        """Return the jobs of the entries of one act."""
        return {entry.job_id for entry in self.entries if entry.act == act}
