import io
import json
import re
from codecs import BOM_UTF8

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.registry.domain.jsonl import (
    MAX_LINE_BYTES,
    OTHER_UNICODE,
    Line,
    check_size,
    read_lines,
    read_unique,
    scan_lines,
)
from tests.machine import takes_less_than


def lines(content: bytes) -> list[Line]:
    return list(read_lines(io.BytesIO(content)))


def refusal_of(content: bytes) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as refusal:
        lines(content)
    return refusal.value


def test_each_line_is_an_object_with_its_number_and_text() -> None:
    read = lines('{"a": 1}\r\n\n  \n{"b": "ä"}'.encode())
    assert [(line.number, line.text, line.document) for line in read] == [
        (1, '{"a": 1}', {"a": 1}),
        (4, '{"b": "ä"}', {"b": "ä"}),
    ]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"not json", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b"{'a': 1}", "is not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1, "a": 2}', "a key twice"),
        (b'{"a": "\xff"}', "is not UTF-8 at byte 8"),
        (b'\xef\xbb\xbf{"a": 1}', "is not JSON"),
        (b'{"a": "\x00"}', "is not JSON"),
        (rb'{"a": "\ud800"}', "half of a surrogate pair"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "too many digits"),
        (b'{"a": "' + b"x" * MAX_LINE_BYTES + b'"}', "is longer than"),
        (b"id,prompt\n=1+1,2", "is not JSON"),
    ],
)
def test_the_first_bad_line_is_named_with_its_number(bad: bytes, words: str) -> None:
    refusal = refusal_of(b'{"a": 1}\n{"b": 2}\n' + bad + b"\nalso bad\n")
    assert refusal.fields["line"] == "3"
    assert refusal.problem.startswith("Line 3 ")
    assert words in refusal.problem


@pytest.mark.parametrize("content", [b'{"a": 1}\n', b'{"a": 1}\r\n\r\n', b'\n{"a": 1}'])
def test_a_byte_order_mark_before_the_first_line_is_no_part_of_it(content: bytes) -> None:
    (line,) = lines(BOM_UTF8 + content)
    assert (line.text, line.document) == ('{"a": 1}', {"a": 1})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_another_encoding_is_named_once(encoding: str) -> None:
    read = list(scan_lines(io.BytesIO('{"a": 1}\n{"b": 2}\n'.encode(encoding))))
    assert [(number, str(found)) for number, found in read] == [(1, OTHER_UNICODE)]
    assert "save the file as UTF-8" in refusal_of('{"a": 1}\n'.encode(encoding)).problem


@pytest.mark.parametrize("content", [b"", b"\n\n", b" ", BOM_UTF8, BOM_UTF8 + b"\r\n"])
def test_a_file_without_lines_is_refused(content: bytes) -> None:
    assert "no line" in refusal_of(content).problem


def test_an_endless_line_is_refused_without_reading_it_to_its_end() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            self.given += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    source = Endless()
    with pytest.raises(InvalidArgument):
        list(read_lines(io.BufferedReader(source)))
    assert source.given < 2 * MAX_LINE_BYTES


def test_a_long_line_of_escapes_is_read_in_time() -> None:
    line = b'{"a": "' + rb"\u00e4" * 150_000 + b'"}'
    assert takes_less_than(1, lambda: lines(line))


def test_an_id_that_occurs_twice_is_named_with_both_lines() -> None:
    stream = io.BytesIO(b'{"id": "x"}\n{"id": "y"}\n{"id": "x"}\n')
    with pytest.raises(InvalidArgument, match=re.escape("Line 3 has the id 'x' of line 1.")):
        list(read_unique(stream, lambda line: line.document, lambda document: document["id"]))


def test_an_error_stays_short_and_printable_whatever_the_line_holds() -> None:
    content = json.dumps({"id": "\x1b[31m" + "x" * 100_000}).encode()
    with pytest.raises(InvalidArgument) as refusal:
        list(read_unique(io.BytesIO(content + b"\n" + content), lambda line: line.document, lambda row: row["id"]))
    assert refusal.value.problem.isprintable()
    assert len(refusal.value.problem) < 400


def test_a_file_over_its_limit_is_refused() -> None:
    check_size(10, 10)
    with pytest.raises(InvalidArgument):
        check_size(11, 10)


@given(st.binary(max_size=300))
def test_whatever_the_bytes_are_they_are_read_or_refused(content: bytes) -> None:
    try:
        assert all(isinstance(line.document, dict) for line in lines(content))
    except InvalidArgument as error:
        assert error.problem.isprintable()
