"""Cases: the lines of a suite."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.errors import InvalidArgument
from services.chassis.wire.names import shown
from services.protocols.cases import CaseError, case_from_document
from services.protocols.profile import UnknownProfile, get_profile, profile_ids
from services.protocols.suites.references import reference_problem
from services.registry.domain.jsonl import Line, LineError, check_id


@dataclass(frozen=True)
class TestCase:
    """One line of a suite; `document` is the whole line."""

    case_id: str
    category: str
    tool: str
    document: str


def case_of(line: Line, profile_id: str, *, judges_reference: bool = False) -> TestCase:
    """Read one line of a suite for a profile that is known.

    Raises:
        LineError: It isn't a case, or it asks for what the protocol doesn't have; the field is named. With
            `judges_reference`, also where its reference does not conform.
    """
    check_id(line.document.get("case_id"), "case_id")
    try:
        case = case_from_document(line.document)
        get_profile(profile_id).check_case(case)
    except CaseError as error:
        raise LineError(f"is no case: {error}".rstrip(".")) from error
    if judges_reference and (problem := reference_problem(get_profile(profile_id), case)):
        raise LineError(f"has a case {case.case_id!r} whose own reference does not conform: {problem}".rstrip("."))
    return TestCase(case.case_id, case.category, case.tool, line.text)


def check_profile(profile_id: str) -> None:
    """Raise InvalidArgument unless this version knows the protocol profile."""
    try:
        get_profile(profile_id)
    except UnknownProfile as error:
        raise InvalidArgument(
            f"There is no protocol profile {shown(profile_id)}.",
            f"Begin the suite's id with one of {', '.join(profile_ids())}.",
            field="test_suite_id",
        ) from error
