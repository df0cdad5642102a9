"""What the evaluator needs from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.evaluator.domain.evaluation import EvaluationRecord, Subject, Tally
from services.evaluator.domain.verdict import Verdict, VerdictFilter
from services.protocols.cases import Case


class AnswerEnd(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CONTEXT_OVERFLOW = "context_overflow"
    BACKEND_FAULT = "backend_fault"


@dataclass(frozen=True)
class Transcript:
    """What is judged of a transcript."""

    sequence: int
    transcript_id: str
    case_id: str
    repeat: int
    answer: str
    end: AnswerEnd
    num_prompt_tokens: int = 0


@dataclass(frozen=True)
class RunStatus:
    """A test run as it stands; `problem` says why it failed, `last_sequence` is that of its newest event."""

    subject: Subject
    state: str
    is_final: bool
    num_transcripts: int
    last_sequence: int
    problem: str = ""


class TestRuns(Protocol):
    """Where the runs and their transcripts are."""

    async def get_run(self, test_run_id: str) -> RunStatus:
        """Return a run.

        Raises:
            NotFound: There is none.
        """
        ...

    async def list_transcripts(self, test_run_id: str, after_sequence: int) -> tuple[Transcript, ...]:
        """Return the next transcripts after a place in the run; empty when there are none yet."""
        ...

    def changes(self, test_run_id: str, after_event: int) -> AsyncGenerator[None]:
        """Yield each time that something happened in the run after an event; ends with the run.

        Raises:
            Unavailable: The test runner stayed away for too long.
        """
        ...


class Suites(Protocol):
    """Where the cases are."""

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        """Return all cases of a suite version.

        Raises:
            NotFound: There is no such version.
        """
        ...


class EvaluationStore(Protocol):
    """Keeps evaluations and their verdicts."""

    async def add_evaluation(self, record: EvaluationRecord) -> EvaluationRecord:
        """Store an evaluation, or return the one that is stored under its id already."""
        ...

    async def get_evaluation(self, evaluation_id: str) -> EvaluationRecord | None:
        """Return an evaluation, or None."""
        ...

    async def list_evaluations(self, test_run_id: str, before: int | None, limit: int) -> tuple[EvaluationRecord, ...]:
        """Return up to `limit` evaluations, of one run or (empty) of all, newest first, below the ordinal `before`."""
        ...

    async def append_verdicts(self, evaluation_id: str, epoch: int, verdicts: Sequence[Verdict]) -> EvaluationRecord:
        """Store verdicts, all or none, and return the evaluation with its new count.

        Raises:
            FailedPrecondition: The job was taken over by another process since `epoch`, or the verdicts do not
                follow what is stored.
        """
        ...

    async def list_verdicts(
        self, evaluation_id: str, wanted: VerdictFilter, *, after_sequence: int, limit: int
    ) -> tuple[Verdict, ...]:
        """Return up to `limit` of the wanted verdicts after a place, in the order of judging."""
        ...

    async def tallies(self, evaluation_ids: Sequence[str]) -> Mapping[str, list[Tally]]:
        """Return the tallies of evaluations, by id; one without verdicts may be absent."""
        ...

    async def outcomes(self, evaluation_id: str) -> Mapping[str, bool]:
        """Return for each case that was judged whether all its repeats conform."""
        ...
