"""Test suites and their immutable versions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.chassis.wire.names import shown
from services.protocols.suites import Provenance
from services.protocols.suites.provenance import UNKNOWN
from services.registry.domain.draft import Draft, Numbered
from services.registry.domain.identifiers import version_id

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
