"""Runs conformance vectors: recorded inputs with what the client's own code made of them."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.protocols.javascript.text import refuse_constant
from services.protocols.profile import UnknownProfile, get_profile

_FIELDS = ("id", "family", "input", "expected")
_MAX_SHOWN = 160
_CRASHES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Difference:
    """A vector that the profile does not pass: the first place where `got` is not `expected`, both as JSON text."""

    line: int
    vector_id: str
    family: str
    place: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class UnreadLine:
    """A line that is no vector that can be run."""

    line: int
    problem: str


@dataclass(slots=True)
class FileReport:
    """What came of one file of vectors.

    Attributes:
        families: number of vectors that passed and that failed, by family.
    """

    profile: str
    operation: str
    families: dict[str, list[int]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    unread: list[UnreadLine] = field(default_factory=list)

    @property
    def num_passed(self) -> int:
        """Number of vectors that passed."""
        return sum(passed for passed, _ in self.families.values())

    @property
    def num_failed(self) -> int:
        """Number of vectors that failed."""
        return sum(failed for _, failed in self.families.values())


class _NoVector(ValueError):
    """A line is no vector."""


def check_vectors(content: bytes, *, profile_id: str, operation: str) -> FileReport:
    r"""Return what comes of the vectors in `content`, one JSON object a line, UTF-8 with `\n` between lines.

    Args:
        content: the file's bytes.
        profile_id: the profile to ask.
        operation: what it is asked, by the stem of the file's name.
    """
    report = FileReport(profile_id, operation)
    numbered = enumerate(content.removeprefix(BOM_UTF8).split(b"\n"), start=1)
    lines = [(number, line) for number, line in numbered if line.strip()]
    try:
        operations = get_profile(profile_id).vector_operations
    except UnknownProfile as error:
        report.unread += [UnreadLine(number, str(error)) for number, _ in lines]
        return report
    if operation not in operations:
        known = ", ".join(operations) or "none"
        problem = f"{profile_id} has no operation {operation!r}; its operations are: {known}"
        report.unread += [UnreadLine(number, problem) for number, _ in lines]
        return report
    lines_of: dict[str, int] = {}
    for number, line in lines:
        try:
            vector = _vector(line)
            _note(vector, number, lines_of)
        except _NoVector as error:
            report.unread.append(UnreadLine(number, str(error)))
            continue
        _run(vector, number, operation, report)
    if not lines:
        report.unread.append(UnreadLine(1, "the file holds no vector"))
    return report


def _vector(line: bytes) -> dict[str, object]:
    try:
        vector = json.loads(line.decode("utf-8"), parse_constant=refuse_constant)
    except RecursionError as error:
        raise _NoVector("not JSON that can be read: nested too deep") from error
    except ValueError as error:
        raise _NoVector(f"not JSON: {error}") from error
    if not isinstance(vector, dict):
        raise _NoVector(f"must be an object, not {type(vector).__name__}")
    for name in _FIELDS:
        if name not in vector:
            raise _NoVector(f"{name} is missing")
    for name, kind in (("id", str), ("family", str), ("input", dict)):
        if not isinstance(vector[name], kind):
            raise _NoVector(f"{name} must be {'an object' if kind is dict else 'text'}")
    return vector


def _note(vector: Mapping[str, object], number: int, lines_of: dict[str, int]) -> None:
    vector_id = str(vector["id"])
    if vector_id in lines_of:
        raise _NoVector(f"the id {vector_id!r} stands on line {lines_of[vector_id]} too")
    lines_of[vector_id] = number


def _run(vector: Mapping[str, object], number: int, operation: str, report: FileReport) -> None:
    family, question = str(vector["family"]), vector["input"]
    assert isinstance(question, dict)
    counts = report.families.setdefault(family, [0, 0])
    try:
        answer = get_profile(report.profile).vector_operations[operation](question)
        difference = _first_difference(vector["expected"], answer, "expected", ignored=_informative(operation))
    except _CRASHES as error:
        difference = ("input", "an answer", f"{type(error).__name__}: {error}"[:_MAX_SHOWN])
    counts[bool(difference)] += 1
    if difference:
        report.differences.append(Difference(number, str(vector["id"]), family, *difference))


def _informative(operation: str) -> frozenset[str]:
    return frozenset(("similarity",)) if operation == "diff" else frozenset()


def _first_difference(
    expected: object, actual: object, place: str, *, ignored: frozenset[str]
) -> tuple[str, str, str] | None:
    return next(_differences(expected, actual, place, ignored), None)


def _differences(
    expected: object, actual: object, place: str, ignored: frozenset[str]
) -> Iterator[tuple[str, str, str]]:
    if isinstance(expected, dict) and isinstance(actual, Mapping):
        for key in dict.fromkeys((*expected, *actual)):
            if key in ignored:
                continue
            if key in actual and key in expected:
                yield from _differences(expected[key], actual[key], f"{place}.{key}", ignored)
            else:
                yield f"{place}.{key}", _side(expected, key), _side(actual, key)
    elif isinstance(expected, list) and isinstance(actual, list | tuple):
        yield from _list_differences(expected, actual, place, ignored)
    elif not _same(expected, actual):
        yield place, _shown(expected), _shown(actual)


def _list_differences(
    expected: Sequence[object], actual: Sequence[object], place: str, ignored: frozenset[str]
) -> Iterator[tuple[str, str, str]]:
    for index, (entry, actual_entry) in enumerate(zip(expected, actual, strict=False)):
        yield from _differences(entry, actual_entry, f"{place}[{index}]", ignored)
    if len(expected) != len(actual):
        yield f"{place}.length", str(len(expected)), str(len(actual))


def _same(expected: object, actual: object) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, str) or isinstance(actual, str):
        return isinstance(expected, str) and isinstance(actual, str) and str(expected) == str(actual)
    return expected == actual or _is_same_double(expected, actual)


def _is_same_double(expected: object, actual: object) -> bool:
    """Return whether two numbers stand for one double; clients write great ones with all their digits."""
    try:
        return isinstance(expected, int) and isinstance(actual, float) and float(expected) == actual
    except OverflowError:
        return False


def _side(value: Mapping[str, object], key: str) -> str:
    return _shown(value[key]) if key in value else "nothing"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
