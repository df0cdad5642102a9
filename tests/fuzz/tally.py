"""What a fuzzing run has done so far: printed and written down while it runs, so that a stopped run tells it too."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TELL_SECONDS = 15.0


class Tally:
    """Counts inputs by target, and keeps one input of each kind of fault in `folder`.

    Attributes:
        outcomes: By target, how often which outcome came.
        faults: By kind, how often it came.
    """

    def __init__(self, folder: Path) -> None:
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.faults: Counter[str] = Counter()
        self._folder, self._aims = folder, dict[str, int]()
        self._begin = time.monotonic()

    def aim(self, target: str, num_inputs: int) -> None:
        """Take note of how many inputs a target is to get."""
        self._aims[target] = num_inputs

    def add_fault(self, target: str, sentence: str, content: bytes) -> None:
        """Take note of a fault, and keep the input of the first of its kind in the folder of its target."""
        kind = f"{target}: " + re.sub(r"\d+|'[^']*'", "…", sentence)
        self.faults[kind] += 1
        if self.faults[kind] == 1:
            path = self._folder / target / hashlib.sha256(content).hexdigest()[:16]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @contextmanager
    def telling(self, path: Path) -> Iterator[None]:
        """Print and write the numbers every 15 s for the length of the block, and once more at its end."""
        end = threading.Event()

        def tell() -> None:
            while not end.wait(_TELL_SECONDS):
                self._tell(path)

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
            self._tell(path)

    def _tell(self, path: Path) -> None:
        seconds = time.monotonic() - self._begin
        done = {target: sum(self.outcomes[target].values()) for target in self._aims}
        parts = [f"{target} {num}/{self._aims[target]}" for target, num in done.items()]
        rate = sum(done.values()) / max(seconds, 1e-9)
        print(f"{seconds:6.0f} s  {rate:6.0f}/s  {len(self.faults)} faults  {', '.join(parts)}", flush=True)
        # Copies: the run counts on, in another thread, while they are written.
        targets = {target: {"aim": aim, "outcomes": dict(self.outcomes[target])} for target, aim in self._aims.items()}
        document = {"seconds": round(seconds, 1), "targets": targets, "faults": dict(self.faults)}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
