"""Test suites, their cases and their immutable versions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.chassis.wire.names import shown
from services.protocols.cases import CaseError, case_from_document
from services.protocols.profile import UnknownProfile, get_profile, profile_ids
from services.protocols.suites.references import reference_problem
from services.protocols.suites.suite import UNKNOWN, Provenance
from services.registry.domain.draft import Draft, Numbered
from services.registry.domain.identifiers import version_id
from services.registry.domain.jsonl import Line, LineError, check_id

_MAX_WORDS = 500


@dataclass(frozen=True, kw_only=True)
class TestSuiteVersionDraft(Draft):
    """A suite version before it has a number."""

    asked: ClassVar[tuple[str, ...]] = ("test_suite_id", "origin", "produced_by")

    test_suite_id: str
    num_cases: int
    built_in: bool
    provenance: Provenance = UNKNOWN
    imported_from: str = ""

    @property
    def owner_id(self) -> str:
        """The suite."""
        return self.test_suite_id

    @property
    def origin(self) -> str:
        """What was handed over: the cases, or the files that they were converted from."""
        return self.imported_from or self.artifact.digest

    @property
    def profile_id(self) -> str:
        """The protocol profile that the cases are written for."""
        return self.test_suite_id.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class TestSuiteVersion(TestSuiteVersionDraft, Numbered):
    """One immutable JSONL file of cases."""

    @classmethod
    def of(cls, draft: TestSuiteVersionDraft, version: int, create_time: datetime) -> TestSuiteVersion:
        """Return the version that `draft` becomes."""
        taken = {field.name: getattr(draft, field.name) for field in fields(TestSuiteVersionDraft)}
        return cls(**taken, version=version, create_time=create_time)


@dataclass(frozen=True)
class BuiltInSuite:
    """A suite that ships with the product."""

    test_suite_id: str
    version: int
    content: bytes
    provenance: Provenance = UNKNOWN

    @property
    def version_id(self) -> str:
        """The suite's id, `@` and the number."""
        return version_id(self.test_suite_id, self.version)

    @property
    def digest(self) -> str:
        """Digest of its bytes."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


def check_provenance(provenance: Provenance) -> None:
    """Raise InvalidArgument unless each word on a suite's origin is short printable text."""
    for name, value in provenance.to_document().items():
        if len(value) > _MAX_WORDS or not value.isprintable():
            raise InvalidArgument(
                f"provenance.{name} is longer than {_MAX_WORDS} characters or holds control characters.",
                "Say it in one short line.",
                field=f"provenance.{name}",
            )


def built_in_id(test_suite_id: str) -> FailedPrecondition:
    """Return the error for a new version of a suite that ships with the product."""
    return FailedPrecondition(
        f"The suite {test_suite_id} ships with the product; its versions come with releases.",
        "Register your cases under another name.",
        field="test_suite_id",
    )


def suite_version_not_found(text: str) -> NotFound:
    """Return the error for a suite version that isn't there."""
    return NotFound(f"There is no test suite {shown(text)}.", "See what there is with `drillyard test-suites list`.")


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
