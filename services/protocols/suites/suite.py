"""Reading suites: one JSON document a line."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from services.protocols.cases import Case, CaseError, case_from_document, case_to_document
from services.protocols.suites.provenance import UNKNOWN, Provenance


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
