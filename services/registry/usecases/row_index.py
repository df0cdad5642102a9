"""What a dataset version is made of, and where its rows of a name are: read once, since versions never change."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from services.chassis.errors import InvalidArgument
from services.protocols.suites.dataset_row import DatasetRow, RowError
from services.registry.domain.jsonl import MAX_LINE_BYTES

RESPECTS = ("split", "reason", "cause", "tool", "category")
# Of a million rows one takes 32 MB.
_NUM_INDEXES = 4


@dataclass(frozen=True)
class StoredRow:
    """A row, its line from 1, its JSON text, and the byte behind it."""

    row: DatasetRow
    line: int
    document: str
    end: int


@dataclass(frozen=True)
class DatasetPart:
    """How many rows, and characters of their messages, have one name in one respect."""

    respect: str
    name: str
    num_rows: int
    num_characters: int


class RowIndex:
    """The rows of a file by their names.

    Attributes:
        parts: What they are made of, the larger parts of each respect first.
        num_pairs: How many hold a rejected answer.
    """

    def __init__(self, path: Path) -> None:
        self._begins, self._lines = array("Q"), array("I")
        self._places: defaultdict[tuple[str, str], array[int]] = defaultdict(lambda: array("I"))
        num_characters: Counter[tuple[str, str]] = Counter()
        self.num_pairs, begin = 0, 0
        with path.open("rb") as file:
            for place, stored in enumerate(rows_from(file)):
                row = stored.row
                self._begins.append(begin)
                self._lines.append(stored.line)
                begin = stored.end
                self.num_pairs += row.rejected is not None
                size = sum(len(message["content"]) for message in row.messages)
                for respect in RESPECTS:
                    key = respect, str(getattr(row, respect))
                    self._places[key].append(place)
                    num_characters[key] += size
        ordered = sorted(self._places, key=lambda key: (RESPECTS.index(key[0]), -len(self._places[key]), key[1]))
        self.parts = tuple(DatasetPart(*key, len(self._places[key]), num_characters[key]) for key in ordered)

    def rows(self, file: BinaryIO, names: Mapping[str, str], after_line: int) -> Iterator[StoredRow]:
        """Yield the rows below a line that have all of the names, of which there is one at least."""
        rarest, *others = sorted((self._places.get(key, array("I")) for key in names.items()), key=len)
        wanted = [frozenset(places) for places in others]
        first = bisect_right(self._lines, after_line)
        for place in rarest[bisect_right(rarest, first - 1) :]:
            # To read what another name leaves out would take seconds where two common ones have few rows in common.
            if all(place in places for places in wanted):
                file.seek(self._begins[place])
                yield next(rows_from(file, self._begins[place], self._lines[place - 1] if place else 0))


@lru_cache(maxsize=_NUM_INDEXES)
def row_index(path: Path) -> RowIndex:
    """Return the index of a file that never changes."""
    return RowIndex(path)


def rows_from(file: BinaryIO, offset: int = 0, line: int = 0) -> Iterator[StoredRow]:
    """Yield the rows from where a file stands, behind a byte and a line; blank lines count."""
    while content := file.readline(MAX_LINE_BYTES + 1):
        line += 1
        offset += len(content)
        if content.strip():
            yield _stored(line, content, offset)


def _stored(line: int, content: bytes, end: int) -> StoredRow:
    # Every row was checked when the version was registered.
    text = content.decode("utf-8-sig").strip()
    try:
        return StoredRow(DatasetRow.from_json(json.loads(text), line), line, text, end)
    except RowError as error:
        raise InvalidArgument(f"Line {line} of the dataset {error}.", "Register the dataset again.") from error
