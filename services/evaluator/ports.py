"""What the evaluator needs from outside."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.evaluator.domain.evaluation import EvaluationRecord, ModelGrader
from services.evaluator.domain.metrics import Metrics, Quantiles
from services.evaluator.domain.parity import OutcomePair, RunDifference
from services.evaluator.domain.run import UNKNOWN, Provenance, Subject
from services.evaluator.domain.tallies import CaseTally, Failing, Totals
from services.evaluator.domain.verdict import NOTHING_SPENT, Spent, Verdict, VerdictFilter
from services.protocols.cases import Case
from services.protocols.turn import Message, ToolCall


class AnswerEnd(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CONTEXT_OVERFLOW = "context_overflow"
    BACKEND_FAULT = "backend_fault"
    TEMPLATE_FAULT = "template_fault"


@dataclass(frozen=True)
class GivenAnswer:
    """One answer of a transcript.

    Attributes:
        calls: native calls beside the text; calls that the text holds are not among them.
        detail: one sentence on why nothing was generated; empty otherwise.
    """

    text: str
    end: AnswerEnd = AnswerEnd.STOP
    calls: tuple[ToolCall, ...] = ()
    num_prompt_tokens: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Transcript:
    """What is judged and shown of a transcript; `messages` is the whole conversation."""

    sequence: int
    transcript_id: str
    case_id: str
    repeat: int
    answers: tuple[GivenAnswer, ...]
    spent: Spent = NOTHING_SPENT
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class RunStatus:
    """A test run as it stands; `problem` says why it failed, `last_sequence` is that of its newest event."""

    subject: Subject
    state: str
    is_final: bool
    num_transcripts: int
    last_sequence: int
    problem: str = ""
    provenance: Provenance = UNKNOWN


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

    def changes(self, test_run_id: str, after_event: int) -> AsyncGenerator[int]:
        """Yield the number of each event of the run after one; ends with the run.

        Raises:
            Unavailable: The test runner stayed away for too long.
        """
        ...

    async def compare(self, before_test_run_id: str, after_test_run_id: str) -> RunDifference:
        """Return how far the answers of two runs are the same, token by token where tokens are known.

        Raises:
            NotFound: One of them does not exist.
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


class ModelVersions(Protocol):
    """Where the models are."""

    async def check_model_version(self, model_version_id: str) -> None:
        """Return when there is such a version.

        Raises:
            NotFound: There is none.
        """
        ...


class ChatModel(Protocol):
    """A model that answers a short conversation with a JSON object."""

    async def ask(self, system: str, user: str, schema: Mapping[str, object]) -> str:
        """Return the text of the answer, of a bounded length.

        Raises:
            GradeMissing: There is none, though it was asked for more than once.
        """
        ...


class ChatModels(Protocol):
    """Opens the models that grade."""

    def open(self, grader: ModelGrader) -> ChatModel:
        """Return the model that a grader names.

        Raises:
            InvalidArgument: Its address is not one of a web server.
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

    async def append_verdicts(
        self, evaluation_id: str, epoch: int, verdicts: Sequence[Verdict], totals: Totals
    ) -> EvaluationRecord:
        """Store verdicts and the totals that count them, all or none; return the evaluation with its new count.

        Raises:
            FailedPrecondition: The job was taken over by another process since `epoch`, or the verdicts do not
                follow what is stored.
        """
        ...

    async def add_scores(
        self, evaluation_id: str, epoch: int, scores: Mapping[int, Mapping[str, float]], *, through: int, totals: Totals
    ) -> EvaluationRecord:
        """Add scores to verdicts by their sequence, and note that the grader was asked for all up to `through`.

        Raises:
            FailedPrecondition: The job was taken over by another process since `epoch`.
        """
        ...

    async def finish(self, evaluation_id: str, epoch: int, metrics: Metrics) -> EvaluationRecord:
        """Store the final metrics.

        Raises:
            FailedPrecondition: The job was taken over by another process since `epoch`.
        """
        ...

    async def list_verdicts(
        self, evaluation_id: str, verdict_filter: VerdictFilter, *, after_sequence: int, limit: int
    ) -> tuple[Verdict, ...]:
        """Return up to `limit` of the wanted verdicts after a place, in the order of judging."""
        ...

    async def count_verdicts(self, evaluation_id: str, verdict_filter: VerdictFilter) -> int:
        """Return the number of wanted verdicts."""
        ...

    async def case_tallies(
        self, evaluation_id: str, through: int | None = None, answered_in: str = ""
    ) -> tuple[CaseTally, ...]:
        """Return a tally for each case that was judged up to a sequence (None: ever), in the order of their ids.

        With `answered_in`, another evaluation's id, only repeats that have an answer there too are counted.
        """
        ...

    async def latency_quantiles(self, evaluation_id: str, through: int | None = None) -> Quantiles:
        """Return the quantiles (nearest rank) of the time to answer one case, of those whose time is known.

        Only verdicts up to the sequence `through` are looked at; None for all.
        """
        ...

    async def failing(self, evaluation_id: str, through: int | None = None) -> tuple[Failing, ...]:
        """Return what advice and comparisons look at of each verdict that does not conform, in the order of judging.

        Only verdicts up to the sequence `through` are looked at; None for all.
        """
        ...

    async def outcome_pairs(self, before_id: str, after_id: str) -> tuple[OutcomePair, ...]:
        """Return the verdicts of two evaluations on the repeats that both have answered, in the order of case ids."""
        ...
