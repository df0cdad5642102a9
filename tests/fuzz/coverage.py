"""Coverage-guided fuzzing of what reads models' answers: `python -m tests.fuzz.coverage TARGET [libFuzzer options]`.

Targets: parse, diff, judge, native, patch. Needs `pip install atheris`, which not every Python has. A crash, a hang
(`-timeout=10`) or a difference between the parser and the plain port of the client's automaton ends the run with the
input that caused it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports():
    from services.protocols.cases import Case, Expected
    from services.protocols.roo.diff.apply import apply_diff
    from services.protocols.roo_native.parse.calls import CallError, parse_call
    from services.protocols.roo_native.tools.edit.patch import PatchError, changes_of, read_patch
    from services.protocols.roo_xml.judge import judge
    from services.protocols.roo_xml.parse import AnswerTooLong, TextBlock, parse
    from services.protocols.turn import Answer

from tests.bench.protocols.automaton import parse_naively

CASE = Case("c", "k", "list_files", "code", "t", Expected("list_files", {"path": "."}), "t", "r", {"a": "x\n"})


def fuzz_parse(data: bytes) -> None:
    """The parser reads what the plain port reads."""
    text = _text(data)
    try:
        blocks = parse(text)
    except AnswerTooLong:
        return
    read = [
        ("text", block.text)
        if isinstance(block, TextBlock)
        else ("tool", block.name, dict(block.params), block.partial)
        for block in blocks
    ]
    assert read == parse_naively(text)


def fuzz_diff(data: bytes) -> None:
    """A diff applies or says why not; what fails changes nothing."""
    original, _, diff = _text(data).partition("\0")
    outcome = apply_diff(original, diff)
    assert (outcome.content is None) == bool(outcome.fault)


def fuzz_judge(data: bytes) -> None:
    """Every answer gets a verdict."""
    judge(CASE, Answer(_text(data)))


def fuzz_native(data: bytes) -> None:
    """A call is read, or refused with a code."""
    name, _, arguments = _text(data).partition("\0")
    try:
        parse_call(name, arguments)
    except CallError as error:
        assert error.code


def fuzz_patch(data: bytes) -> None:
    """A patch is applied, or refused with the place."""
    original, _, patch = _text(data).partition("\0")
    try:
        changes_of(read_patch(patch), {"a.py": original}.get)
    except PatchError as error:
        assert str(error)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "parse": fuzz_parse,
    "diff": fuzz_diff,
    "judge": fuzz_judge,
    "native": fuzz_native,
    "patch": fuzz_patch,
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz.coverage TARGET [options]; targets are: {', '.join(TARGETS)}")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv.pop(1)])
    atheris.Fuzz()
