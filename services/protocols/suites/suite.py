"""Suites: their cases, what they were made of, and those that are stored in a package."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache, cached_property, partial
from importlib.resources import files
from importlib.resources.abc import Traversable

from services.protocols.cases import Case, CaseError, case_from_document, case_to_document


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of a suite beyond its cases; empty where nothing is.

    Attributes:
        licence: SPDX name, such as `Apache-2.0`.
        generator: what made the cases, and how.
        seed: what it was seeded with.
        profile_version: version of the client whose rules the cases were made for.
        source: where the cases were found, if they were not generated.
    """

    licence: str = ""
    generator: str = ""
    seed: str = ""
    profile_version: str = ""
    source: str = ""

    def to_document(self) -> dict[str, str]:
        """Return what is known as a JSON document."""
        return {name: value for name, value in asdict(self).items() if value}


UNKNOWN = Provenance()


def provenance_from_document(document: Mapping[str, object]) -> Provenance:
    """Return the provenance that `to_document` wrote; names that it does not know are passed over."""
    return Provenance(**{field.name: str(document.get(field.name, "")) for field in fields(Provenance)})


class SuiteError(ValueError):
    """A text is no suite.

    Attributes:
        line: number of the line that is wrong, from 1; 0 when the suite as a whole is.
    """

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)
        self.line = line


@dataclass(frozen=True)
class Suite:
    """One immutable version of a suite.

    Attributes:
        suite_id: profile and name, such as `roo_xml/core`.
        version: counted from 1.
        profile: id of the profile that its cases are for.
        text: the JSON lines that it is made of.
        read_cases: reads the cases in the text.
        provenance: where they come from.
    """

    suite_id: str
    version: int
    profile: str
    text: str
    read_cases: Callable[[], tuple[Case, ...]] = field(repr=False, compare=False)
    provenance: Provenance = UNKNOWN

    @cached_property
    def digest(self) -> str:
        """`sha256:` and the hex digest of `text` in UTF-8."""
        return f"sha256:{hashlib.sha256(self.text.encode('utf-8', 'surrogatepass')).hexdigest()}"

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The cases in the order of the lines, read when they are first wanted: it takes longer than all else."""
        return self.read_cases()


def parse_suite(text: str, *, suite_id: str, version: int, profile: str, check_case: Callable[[Case], None]) -> Suite:
    """Return the suite that `text` holds; `check_case` is that of its profile.

    Raises:
        SuiteError: a line is no JSON or no case, or asks for what the profile does not have, a case id occurs twice,
            or there is no case.
    """
    cases = cases_in(text, check_case)
    return Suite(suite_id, version, profile, text, lambda: cases)


def cases_in(text: str, check_case: Callable[[Case], None]) -> tuple[Case, ...]:
    """Return the cases of a suite's text, as `parse_suite` does."""
    cases: list[Case] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        case = _case(number, line, check_case)
        if case.case_id in lines:
            raise SuiteError(number, f"case id {case.case_id!r} stands on line {lines[case.case_id]} too")
        lines[case.case_id] = number
        cases.append(case)
    if not cases:
        raise SuiteError(0, "the suite holds no case")
    return tuple(cases)


def suite_text(cases: Iterable[Case]) -> str:
    """Return the JSON lines of `cases`, equal cases giving equal text."""
    return "".join(json.dumps(case_to_document(case), ensure_ascii=False) + "\n" for case in cases)


def _case(number: int, line: str, check_case: Callable[[Case], None]) -> Case:
    try:
        case = case_from_document(json.loads(line))
        check_case(case)
        return case
    except json.JSONDecodeError as error:
        raise SuiteError(number, f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise SuiteError(number, "not JSON that can be read: nested too deep") from error
    except CaseError as error:
        raise SuiteError(number, str(error)) from error
    except ValueError as error:
        raise SuiteError(number, f"not JSON that can be read: {error}") from error


FOLDER = "suites"
CheckCase = Callable[[Case], None]
_FILE = re.compile(r"([a-z0-9_]+)-([0-9]+)\.jsonl")


@cache
def stored_suites(package: str, profile: str, check_case: CheckCase) -> tuple[Suite, ...]:
    """Return the suites in the folder `suites` of a package, by name and version."""
    folder = files(package).joinpath(FOLDER)
    found = sorted((name, version) for name, version in _names(folder))
    return tuple(_stored(folder, name, version, profile, check_case) for name, version in found)


def _names(folder: Traversable) -> Iterator[tuple[str, int]]:
    for entry in folder.iterdir():
        if parts := _FILE.fullmatch(entry.name):
            yield parts[1], int(parts[2])


def _stored(folder: Traversable, name: str, version: int, profile: str, check_case: CheckCase) -> Suite:
    text = folder.joinpath(f"{name}-{version}.jsonl").read_text(encoding="utf-8")
    provenance = provenance_from_document(
        json.loads(folder.joinpath(f"{name}-{version}.json").read_text(encoding="utf-8"))
    )
    return Suite(f"{profile}/{name}", version, profile, text, partial(cases_in, text, check_case), provenance)
