"""What feedback needs of its neighbours."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from services.feedback.domain.dataset_build import Rollouts
from services.feedback.domain.goals import Readings
from services.feedback.domain.guardrails import Change
from services.feedback.domain.item import AnsweredCase, AnswersToJudge, Outcome
from services.feedback.domain.work import (
    Asked,
    CaseOfSuite,
    Comparison,
    DeploymentTest,
    DeploymentToTest,
    ModelFacts,
    ProbeVerdict,
    Registration,
    SuiteVersion,
    TemplateFault,
    TestOrder,
    TrainingOrder,
    WorkProgress,
    WorkState,
)
from services.feedback.gate.numbers import RowScore
from services.feedback.gate.prompts import RenderedPrompt
from services.feedback.gate.rows import GateRow
from services.protocols.cases import Case


class Registry(Protocol):
    """Where models, suites and datasets are kept."""

    async def resolve_model(self, model_version_id: str) -> str:
        """Return the version's id, the newest one's for a model's id.

        Raises:
            NotFound: There is no such version.
        """

    async def is_adapter(self, model_version_id: str) -> bool:
        """Return whether a version is an adapter, which a training goes on with."""

    async def resolve_watched(self, name: str) -> str:
        """Return the version that an alias points at, a version's own id, or the newest one's for a model's id.

        Raises:
            NotFound: There is no such alias or version.
        """

    async def resolve_suite(self, test_suite_version_id: str) -> SuiteVersion:
        """Return the version, the newest one for a suite's id.

        Raises:
            NotFound: There is no such version.
        """

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        """Return all cases of a suite version in its order."""

    async def register_suite(self, request_id: str, registration: Registration) -> str:
        """Register a suite version once per request id and return its id."""

    async def set_alias(self, alias_id: str, model_version_id: str, evaluation_id: str) -> None:
        """Let an alias, "<model_id>:<name>", point at a version for which an evaluation speaks, if it does not yet."""

    async def register_dataset(self, request_id: str, registration: Registration) -> str:
        """Register a dataset version once per request id and return its id."""

    async def resolve_dataset(self, dataset_version_id: str) -> str:
        """Return the version's id, the newest one's for a dataset's id.

        Raises:
            NotFound: There is no such version.
        """

    async def list_test_suites(self) -> tuple[str, ...]:
        """Return every suite version that tests; what a loop drew to probe does not."""

    def dataset_rows(self, dataset_version_id: str) -> AsyncIterator[str]:
        """Yield the rows of a dataset version in their order, as JSON text."""


class Work(Protocol):
    """Long work in another service, by the id that its start returned."""

    def watch(self, work_id: str) -> AsyncGenerator[WorkProgress, None]:
        """Yield how far the work is until it has ended, over lost connections too."""

    async def state(self, work_id: str) -> WorkState:
        """Return how the work stands."""

    async def cancel(self, work_id: str) -> None:
        """Ask for the end of the work.

        Raises:
            FailedPrecondition: It has ended.
        """


class TestRunner(Work, Protocol):
    """Runs suites."""

    async def start(self, request_id: str, order: TestOrder) -> str:
        """Start a test run once per request id and return its id."""

    async def is_incomplete(self, test_run_id: str) -> bool:
        """Return whether a run that has ended left so many cases unanswered that its rates decide nothing."""

    async def template_faults(
        self, model_version_id: str, profile_id: str, *, prompt_size: str, max_new_tokens: int
    ) -> tuple[TemplateFault, ...]:
        """Return what keeps a version's template or settings from carrying a protocol; the gravest first.

        Raises:
            Unavailable: The service is away; requests ask too, so this call is not patient.
            FailedPrecondition: The version has no template, or its files cannot be read.
        """

    async def num_generated_tokens(self, test_run_id: str) -> int:
        """Return how many tokens the answers of a run have."""

    async def finish(self, request_id: str, test_run_id: str) -> str:
        """Have the cases asked that a run did not answer, in a run that takes over all others; return its id."""


class Evaluator(Work, Protocol):
    """Judges runs."""

    async def start(self, request_id: str, test_run_id: str) -> str:
        """Start an evaluation once per request id and return its id; the run may still be going."""

    async def readings(self, evaluation_id: str) -> Readings:
        """Return all that an evaluation which has ended measured, by metric and slice."""

    async def change(self, before_evaluation_id: str, after_evaluation_id: str, metric: str) -> Change:
        """Return how much a rate rose between two evaluations of a suite, paired by case."""

    async def verdicts(self, evaluation_id: str) -> tuple[ProbeVerdict, ...]:
        """Return the verdicts on all answers in the order of judging; what was not answered is unknown."""

    async def pairs(self, evaluation_id: str) -> bytes:
        """Return lines, each a dataset's row: an answer that fails by the model's doing, beside the right one."""


class Trainer(Work, Protocol):
    """Trains model versions."""

    async def start(self, request_id: str, order: TrainingOrder) -> str:
        """Start a training job once per request id and return its id."""

    async def trained_version(self, training_job_id: str) -> str:
        """Return the model version that a job which has SUCCEEDED registered."""

    async def adherence(self, training_job_id: str) -> float | None:
        """Return the share of validation answers that conform after a job's last step; None if none was asked for."""

    async def num_drawn_tokens(self, training_job_id: str) -> int:
        """Return how many tokens the model wrote for the steps of a job."""

    async def num_trained_tokens(self, training_job_id: str) -> int:
        """Return how many tokens the steps of a job trained on."""

    async def card(self, training_job_id: str) -> str:
        """Return what a model card says of a training: its data and settings; nothing of one that was deleted."""


class Exports(Work, Protocol):
    """Writes forms of versions."""

    async def start(self, request_id: str, spec: Mapping[str, Any]) -> str:
        """Start an export once per request id and return its id."""

    async def form(self, export_id: str) -> str:
        """Return the version that an export which has SUCCEEDED made."""

    async def model(self, model_version_id: str) -> ModelFacts:
        """Return what a version was trained from.

        Raises:
            NotFound: There is no such version.
        """


class Publications(Work, Protocol):
    """Brings versions where others take them from."""

    async def start(self, request_id: str, model_version_id: str, destination: Mapping[str, Any], card: str) -> str:
        """Start a publication once per request id and return its id; `card` goes into the model card."""

    async def location(self, publication_id: str) -> str:
        """Return where a version is that was published."""


class Forms(Protocol):
    """Asks versions in whatever form they are."""

    async def render(self, model: Asked, row: GateRow) -> RenderedPrompt:
        """Return what the version, or what is served in its place, reads of a conversation.

        Raises:
            InvalidArgument: Its template refuses the messages.
        """

    async def score(
        self, model_version_id: str, rows: Sequence[GateRow | RowScore], *, max_tokens: int = 0
    ) -> list[RowScore]:
        """Return how likely a version finds the answers of rows, or of the same token ids as another's scores.

        Of each answer the first `max_tokens` tokens are scored; 0 for as many as is usual.
        """

    async def finished_run(self, order: TestOrder) -> str:
        """Return the newest run that did what is ordered and has an answer to every case; empty for none."""

    async def text_answers(self, model: Asked, case: CaseOfSuite, max_new_tokens: int) -> list[str]:
        """Return the texts that it writes in the turns of a case, as no parser of a server has read them.

        The client's replies between them are simulated.
        """


class Verdicts(Protocol):
    """Compares evaluations, and judges single answers."""

    async def finished_evaluation(self, test_run_id: str) -> str:
        """Return the newest evaluation of a run that has SUCCEEDED; empty for none."""

    async def card(self, evaluation_id: str) -> str:
        """Return what a model card says of an evaluation, in Markdown: suite, rates and their intervals."""

    async def compare(self, before_evaluation_id: str, after_evaluation_id: str) -> Comparison:
        """Return what was gained and lost between two forms of one model."""

    async def conforms(self, profile_id: str, case: Case, answers: Sequence[str]) -> bool:
        """Return whether the answers to a case conform."""


class Deployments(Protocol):
    """What is served, as far as it has a suite to pass."""

    async def to_test(self) -> list[DeploymentToTest]:
        """Return the deployments whose suite has no outcome yet."""

    async def report(self, deployment_id: str, test: DeploymentTest) -> None:
        """Tell how one does on its suite.

        Raises:
            NotFound: It was deleted.
        """


class Transcripts(Protocol):
    """Where transcripts are kept."""

    async def answered_case(self, transcript_id: str) -> AnsweredCase:
        """Return a transcript.

        Raises:
            NotFound: There is none.
        """


class CaseDocuments(Protocol):
    """Where cases are kept."""

    async def case_document(self, test_suite_version_id: str, case_id: str) -> str:
        """Return a case as JSON text.

        Raises:
            NotFound: There is no such suite, or no such case in it.
        """


class Judge(Protocol):
    """The judge of each profile."""

    async def judge(self, answers: Sequence[AnswersToJudge]) -> list[Outcome | str]:
        """Return what the judge says of each, in their order, or the sentence why it can say nothing."""


class RolloutSource(Protocol):
    """Where evaluations are kept."""

    async def rollouts(self, evaluation_id: str) -> Rollouts:
        """Return what an evaluation is of.

        Raises:
            NotFound: There is none, or its run is gone.
        """

    async def causes(self, evaluation_id: str) -> dict[str, list[str]]:
        """Return by case why each of its answers fails, empty for one that conforms."""
