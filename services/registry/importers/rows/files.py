"""Files of rows as they lie on disk: JSON lines, one JSON array, or Parquet; read piece by piece."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from services.registry.domain.jsonl import MAX_LINE_BYTES, Line, LineError, checked_document, json_decoder, scan_lines

Numbered: TypeAlias = tuple[int, Line | LineError]
_PARQUET, _ARRAY = b"PAR1", b"["
_BLOCK = 1 << 16
_BATCH_ROWS = 64
_BUFFER_BYTES = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")
# What is not read may be pictures.
_COLUMNS = (
    *("example_id", "split", "weight", "tool", "category", "cause", "reason", "profile_id", "case", "feedback_item_id"),
    *("messages", "rejected", "tools", "functions", "system", "conversations", "prompt", "chosen"),
    *("input", "preferred_output", "non_preferred_output"),
)


def is_lines(path: Path) -> bool:
    """Whether a file is JSON lines, and neither one array nor Parquet."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    return not head.startswith(_PARQUET) and head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != _ARRAY


def entries(path: Path) -> Iterator[Numbered]:
    """Yield each row's number with its document, or with what is wrong; memory is bounded by the longest row."""
    if is_lines(path):
        with path.open("rb") as stream:
            yield from scan_lines(stream)
        return
    with path.open("rb") as stream:
        is_parquet = stream.read(4) == _PARQUET
    if is_parquet:
        yield from _parquet(path)
    else:
        with path.open(encoding="utf-8-sig") as text:
            yield from _array(text)


def _array(file: TextIO) -> Iterator[Numbered]:
    number = 0
    try:
        for document, text in _Array(file).entries():
            number += 1
            yield number, _line(number, text, document)
    except UnicodeDecodeError:
        yield number + 1, LineError("is not UTF-8: save the file as UTF-8")
    except RecursionError:
        yield number + 1, LineError("is nested too deeply")
    except LineError as fault:
        yield number + 1, fault
    except ValueError:
        yield number + 1, LineError("holds a number with too many digits")


class _Array:
    """One JSON array, of which no more is held than an entry and what was read behind it."""

    def __init__(self, text: TextIO) -> None:
        self._text, self._decoder = text, json_decoder()
        self._buffer, self._place = text.read(_BLOCK).lstrip()[1:], 0

    def entries(self) -> Iterator[tuple[Any, str]]:
        """Yield each entry with its text."""
        while True:
            between = _BETWEEN.match(self._buffer, self._place)
            start = self._place = between.end() if between else self._place
            if self._buffer[start : start + 1] == "]":
                self._check_end()
                return
            try:
                document, self._place = self._decoder.raw_decode(self._buffer, start)
            except json.JSONDecodeError as error:
                self._read_more(error.msg)
                continue
            yield document, self._buffer[start : self._place]

    def _check_end(self) -> None:
        rest = self._buffer[self._place + 1 :]
        while rest:
            if not rest.isspace():
                raise LineError("stands behind the end of the array: put all rows into one array, or each on a line")
            rest = self._text.read(_BLOCK)

    def _read_more(self, reason: str) -> None:
        """Read on, since an entry is cut off where the buffer ends, unless it is wrong."""
        size = len(self._buffer) - self._place
        more = self._text.read(max(_BLOCK, size)) if size <= MAX_LINE_BYTES else ""
        if not more:
            raise LineError(f"is not JSON, or longer than {MAX_LINE_BYTES} bytes: {reason}")
        self._buffer, self._place = self._buffer[self._place :] + more, 0


def _line(number: int, text: str, document: Any) -> Line | LineError:
    try:
        return Line(number, text, checked_document(document, text))
    except LineError as fault:
        return fault


def _parquet(path: Path) -> Iterator[Numbered]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            columns = [name for name in file.schema_arrow.names if name in _COLUMNS]
            if not columns:
                names = ", ".join(file.schema_arrow.names[:8])
                raise LineError(f"has no column that is known, only {names}: name one `messages` or `conversations`")
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns, use_threads=False):
                for document in batch.to_pylist():
                    number += 1
                    present = {name: value for name, value in document.items() if value is not None}
                    yield number, Line(number, "", present)
    except MemoryError:
        raise
    except LineError as fault:
        yield number + 1, fault
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        yield number + 1, LineError(f"cannot be read from the Parquet file: {str(error).splitlines()[0][:200]}")
