"""JSONL files from outside, line by line and within bounds."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

from services.chassis.errors import InvalidArgument

MAX_LINE_BYTES = 1024 * 1024
_MAX_ID = 200
_MAX_FAULT = 300
OTHER_UNICODE = "is not UTF-8, but UTF-16 or UTF-32: save the file as UTF-8"
RowT = TypeVar("RowT")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Line:
    """One line: its number from 1, its text without the line end, and the JSON object that it is."""

    number: int
    text: str
    document: dict[str, Any]


class LineError(ValueError):
    """What is wrong with a line's content, as the end of a sentence that begins with the line's number."""


def scan_lines(stream: BinaryIO) -> Iterator[tuple[int, Line | LineError]]:
    """Yield each line that isn't blank, or what is wrong with it; memory is bounded by the longest that is allowed."""
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            yield number, LineError(f"is longer than {MAX_LINE_BYTES} bytes")
            _skip_line(stream, raw)
            continue
        if number == 1:
            if is_other_unicode(raw):
                yield 1, LineError(OTHER_UNICODE)
                return
            raw = raw.removeprefix(BOM_UTF8)
        try:
            text = raw.decode("utf-8").rstrip("\r\n")
            if text and not text.isspace():
                yield number, Line(number, text, _document(text))
        except UnicodeDecodeError as error:
            yield number, LineError(f"is not UTF-8 at byte {error.start + 1}")
        except LineError as fault:
            yield number, fault


def is_other_unicode(content: bytes) -> bool:
    """Whether a file that begins so is UTF-16 or UTF-32."""
    return content.startswith((BOM_UTF16_LE, BOM_UTF16_BE, BOM_UTF32_BE)) or b"\0" in content[:4]


def _skip_line(stream: BinaryIO, read: bytes) -> None:
    while read and not read.endswith(b"\n"):
        read = stream.readline(MAX_LINE_BYTES)


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Yield each line that isn't blank; memory is bounded by the longest that is allowed.

    Raises:
        InvalidArgument: A line is too long, not UTF-8 or not a JSON object (the first is named); or there is none.
    """
    is_empty = True
    for number, line in scan_lines(stream):
        if isinstance(line, LineError):
            raise line_error(number, str(line)) from line
        is_empty = False
        yield line
    if is_empty:
        raise no_line()


def no_line() -> InvalidArgument:
    """Return the error for a file that holds nothing."""
    return InvalidArgument("The file holds no line.", "Write one JSON object per line.", field="artifact")


def read_unique(stream: BinaryIO, read: Callable[[Line], RowT], id_of: Callable[[RowT], str]) -> Iterator[RowT]:
    """Yield what `read` makes of each line; ids occur once.

    Raises:
        InvalidArgument: A line is wrong, or its id stood on one before it; the first is named.
    """
    lines: dict[str, int] = {}
    for line in read_lines(stream):
        try:
            row = read(line)
        except LineError as fault:
            raise line_error(line.number, str(fault)) from fault
        first = lines.setdefault(id_of(row), line.number)
        if first != line.number:
            raise line_error(line.number, f"has the id {id_of(row)!r} of line {first}")
        yield row


def check_size(size_bytes: int, limit_bytes: int) -> None:
    """Raise InvalidArgument when a file is larger than `limit_bytes`."""
    if size_bytes > limit_bytes:
        raise InvalidArgument(
            f"The file has {size_bytes} bytes; {limit_bytes} are allowed.", "Split it into several.", field="artifact"
        )


def line_error(number: int, fault: str) -> InvalidArgument:
    """Return the error for the line `number`; `fault` ends the sentence "Line 3 …"."""
    return InvalidArgument(
        f"Line {number} {told_fault(fault)}.",
        "Correct that line and register the file again; nothing of it was kept.",
        field="artifact",
        line=str(number),
    )


def told_fault(fault: str) -> str:
    """Return what is wrong with a line as it may stand on a screen: printable and short."""
    return "".join(letter if letter.isprintable() else "�" for letter in fault[:_MAX_FAULT])


def check_id(value: object, name: str) -> str:
    """Return an id that may stand in a database and on a screen.

    Raises:
        LineError: It isn't text, is empty or too long, or holds characters that don't print.
    """
    if not isinstance(value, str) or not value or len(value) > _MAX_ID or not value.isprintable():
        raise LineError(f"has no {name}: 1 to {_MAX_ID} printable characters are needed")
    return value


def json_decoder() -> json.JSONDecoder:
    """Return what reads JSON strictly: it raises LineError where a key stands twice, or for a number that is none."""
    return json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_unique_keys)


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise LineError(f"is not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise LineError("is nested too deeply") from error
    except LineError:
        raise
    except ValueError as error:
        raise LineError("holds a number with too many digits") from error
    return checked_document(document, text)


def checked_document(document: object, text: str) -> dict[str, Any]:
    """Return what a text holds, when it is an object that UTF-8 can hold.

    Raises:
        LineError: It is not.
    """
    if not isinstance(document, dict):
        raise LineError("is not a JSON object")
    # An escape can spell half a character, which no UTF-8 text can hold.
    if "\\u" in text and _SURROGATE.search(json.dumps(document, ensure_ascii=False)):
        raise LineError("holds half of a surrogate pair")
    return document


def _no_constant(name: str) -> None:
    raise LineError(f"holds {name}, which is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise LineError("holds a key twice in one object")
    return entries
