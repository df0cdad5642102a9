"""Turns one file of rows into another: `python -m services.registry.importers.rows TASK IN OUT OPTIONS`.

Tells what it did in JSON lines: a fault for each of the first wrong rows, and at the end how many rows there were.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.protocols.cases import CaseError, case_from_document
from services.protocols.profile import UnknownProfile, get_profile
from services.protocols.suites.dataset_row import MAX_ROW_BYTES, SPLITS, DatasetRow, RowError
from services.protocols.turn import with_answer
from services.registry.domain.dataset import DatasetFormat, DatasetSource
from services.registry.domain.jsonl import Line, LineError, scan_lines, told_fault
from services.registry.importers.rows.chats import READERS, format_of, only_json, tools_of
from services.registry.importers.rows.files import entries, is_lines
from services.registry.importers.rows.written import write_lines, write_messages, write_parquet, write_rows

MAX_FAULTS = 20
_ROWS_TOLD = 5000
_KEPT = ("example_id", "split", "weight", "tool", "category", "cause", "reason", "profile_id", "feedback_item_id")
_WRITERS = {"rows": write_rows, "messages": write_messages, "parquet": write_parquet}


class _Reading:
    """Reads the rows of a file, and counts them."""

    def __init__(self, source: DatasetSource, word: str) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys((*SPLITS, "faults"), 0))
        self._source, self._format, self._word = source, source.format, word
        self._lines: dict[str, int] = {}

    def lines(self, path: Path) -> Iterator[str]:
        """Yield the rows of a file as lines of a dataset; what is wrong with the others is told."""
        for number, entry in entries(path):
            try:
                if isinstance(entry, LineError):
                    raise entry
                row = self._row(number, entry.document)
                line = _line_of(row)
                if len(line.encode()) > MAX_ROW_BYTES:
                    raise LineError(f"makes a row of more than {MAX_ROW_BYTES} bytes, which no dataset may have")
            except (LineError, RowError) as fault:
                self._tell(number, str(fault))
                continue
            except UnicodeEncodeError:
                self._tell(number, "holds half of a surrogate pair")
                continue
            self.counts[row.split] += 1
            if self.counts.total() % _ROWS_TOLD == 0:
                _print(counts=dict(self.counts))
            yield line

    def _row(self, number: int, document: Mapping[str, Any]) -> DatasetRow:
        if self._format is DatasetFormat.UNSPECIFIED:
            self._format = format_of(document)
        read = READERS[self._format](document)
        tools = tools_of(read.pop("tools", None) or document.get("tools") or document.get("functions"))
        kept = {name: document[name] for name in _KEPT if document.get(name) is not None}
        case = document.get("case")
        if case is not None:
            kept["case"] = only_json(case)
            kept.setdefault("profile_id", self._source.profile_id)
            read["messages"] = _answered(read["messages"], kept)
        row = DatasetRow.from_json({"example_id": str(number), **kept, **read, "tools": tools}, number)
        row.check()
        first = self._lines.setdefault(row.example_id, number)
        if first != number:
            raise LineError(f"has the id {row.example_id!r} of {self._word.lower()} {first}")
        return row if "split" in kept else replace(row, split=self._split(row))

    def _split(self, row: DatasetRow) -> str:
        # By the prompt, so that training does not measure itself on what it has learnt.
        prompt = json.dumps(row.prompt, sort_keys=True).encode()
        place = int(hashlib.sha256(prompt).hexdigest()[:8], 16) / 2**32
        return "validation" if place < self._source.validation_share else "train"

    def _tell(self, number: int, fault: str) -> None:
        self.counts["faults"] += 1
        if self.counts["faults"] <= MAX_FAULTS:
            _print(line=number, fault=f"{self._word} {number} {told_fault(fault)}.")


def _answered(messages: Any, row: Mapping[str, Any]) -> Any:
    """Return messages of a row with a case; an answer that they lack is the case's reference."""
    if not messages or messages[-1]["role"] == "assistant":
        return messages
    try:
        profile, case = get_profile(str(row["profile_id"])), case_from_document(row["case"])
    except UnknownProfile as error:
        raise RowError("has no profile_id that this version knows") from error
    except CaseError as error:
        raise RowError(f"holds no case: {error}".rstrip(".")) from error
    return with_answer(messages, profile.read_answer(profile.reference_answer(case)))


def _line_of(row: DatasetRow) -> str:
    try:
        return json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False) + "\n"
    except RecursionError as error:
        raise LineError("is nested too deeply") from error
    except (TypeError, ValueError) as error:
        # Parquet has dates and bytes.
        raise LineError(f"holds a value that JSON cannot hold: {error}") from error


def _print(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def _stored(path: Path) -> Iterator[DatasetRow]:
    with path.open("rb") as stream:
        for number, line in scan_lines(stream):
            if isinstance(line, Line):
                yield DatasetRow.from_json(line.document, number)


def main(task: str, source: str, out: str, options: str) -> None:
    """Do one task: "read" a foreign file, or write one in the form that the task names.

    Args:
        task: As above.
        source: The file to read.
        out: The file to write.
        options: How a foreign file is read, in JSON; else the split of which rows are written, empty for all.
    """
    if task != "read":
        rows = _stored(Path(source))
        _WRITERS[task]((row for row in rows if options in ("", row.split)), Path(out))
        _print(done=True)
        return
    settings = json.loads(options)
    how = DatasetSource(**{**settings, "format": DatasetFormat(settings["format"])})
    reading = _Reading(how, "Line" if is_lines(Path(source)) else "Row")
    write_lines(reading.lines(Path(source)), Path(out))
    _print(counts=dict(reading.counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
