"""What a suite's file holds, and what came of reading it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument
from services.protocols.cases import CaseError, Scoring
from services.protocols.plain_text.scorers import scorer_of
from services.registry.domain.jsonl import Line, LineError, line_error, no_line
from services.registry.domain.test_suite import TestCase, case_of

MAX_PROBLEMS = 20
Rows = Iterable[tuple[int, Line | LineError]]
"""Number of each line with the case's document, or with what is wrong."""


class SuiteFormat(StrEnum):
    """What the lines of a file are."""

    CASES = "cases"
    BFCL = "bfcl"
    PROMPTS = "prompts"


_PROFILES = {SuiteFormat.BFCL: "openai_tools", SuiteFormat.PROMPTS: "text"}


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """How lines become cases.

    Attributes:
        answers: the file of possible answers, for BFCL.
        scorer: scorer of prompts that name none.
        threshold: score from which the answer to such a prompt conforms.
        skips_wrong_lines: lines that cannot become cases are left out.
    """

    format: SuiteFormat = SuiteFormat.CASES
    answers: Artifact | None = None
    scorer: str = "exact"
    threshold: float = 1.0
    skips_wrong_lines: bool = False

    def check(self, profile_id: str) -> None:
        """Raise InvalidArgument unless this conversion makes cases of that profile."""
        wanted = _PROFILES.get(self.format, profile_id)
        if wanted != profile_id:
            raise InvalidArgument(
                f"Files of the format {self.format} become cases of the profile {wanted}, not of {profile_id}.",
                f'Begin the suite\'s id with "{wanted}/".',
                field="test_suite_id",
            )
        if not 0 < self.threshold <= 1:
            raise InvalidArgument(f"The threshold {self.threshold:g} is not from 0 to 1.", "Use 1 for all of it.")
        try:
            scorer_of(Scoring(self.scorer))
        except CaseError as error:
            raise InvalidArgument(f"{error}.", "Name one of those.", field="conversion.scorer") from error

    def origin(self, artifact: Artifact) -> str:
        """Return format and digests of what is converted; empty for cases as they are."""
        if self.format is SuiteFormat.CASES:
            return ""
        return " ".join([self.format, artifact.digest, *([self.answers.digest] if self.answers else [])])


AS_THEY_ARE = Conversion()

SuiteReader: TypeAlias = Callable[[Path, Conversion, Path | None], Rows]
"""Reads a file of one format, with that of its answers."""


@dataclass
class Reading:
    """What came of reading a file, at most `MAX_PROBLEMS` problems of it."""

    cases: list[TestCase] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    is_cut: bool = False

    def raise_problems(self) -> None:
        """Raise InvalidArgument when a line is wrong: the first with its problem, of the others the numbers."""
        if not self.problems:
            return
        number, fault = self.problems[0]
        error = line_error(number, fault)
        if others := [str(line) for line, _ in self.problems[1:]]:
            more = ", ".join(others) + (" and more" if self.is_cut else "")
            problem = f"{error.problem} Wrong as well: line{'s' * (len(others) > 1 or self.is_cut)} {more}."
            next_step = "Validate the file to see what is wrong with each; nothing of it was kept."
            raise InvalidArgument(problem, next_step, **error.fields)
        raise error


def read_cases(
    rows: Rows, profile_id: str, *, skips_wrong_lines: bool = False, judges_references: bool = False
) -> Reading:
    """Return the cases that the rows are, and what is wrong with rows that are none; a case id may occur once.

    With `judges_references`, a case whose own reference does not conform is wrong as well.

    Raises:
        InvalidArgument: There is no row, or, where wrong ones are skipped, none is right.
    """
    reading, lines = Reading(), dict[str, int]()
    for number, fault in _checked(rows, profile_id, reading, lines, judges_references):
        if skips_wrong_lines:
            continue
        reading.problems.append((number, fault))
        if len(reading.problems) == MAX_PROBLEMS:
            reading.is_cut = True
            break
    if not reading.cases and not reading.problems:
        raise no_line()
    return reading


def _checked(
    rows: Rows, profile_id: str, reading: Reading, lines: dict[str, int], judges_references: bool
) -> Iterator[tuple[int, str]]:
    for number, row in rows:
        if isinstance(row, LineError):
            yield number, str(row)
            continue
        try:
            case = case_of(row, profile_id, judges_reference=judges_references)
        except LineError as fault:
            yield number, str(fault)
            continue
        first = lines.setdefault(case.case_id, number)
        if first != number:
            yield number, f"has the id {case.case_id!r} of line {first}"
        else:
            reading.cases.append(case)
