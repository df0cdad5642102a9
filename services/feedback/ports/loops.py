"""What feedback needs from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from services.chassis.artifacts import Artifact
from services.feedback.decisions.decision import DecisionChange
from services.feedback.domain.goals import Readings
from services.feedback.domain.guardrails import Change
from services.feedback.domain.loop import Inputs, Loop
from services.feedback.domain.rounds import Step, StopReason
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.spending import Spent
from services.feedback.domain.work import (
    ProbeVerdict,
    Registration,
    SuiteVersion,
    TemplateFault,
    TestOrder,
    TrainingOrder,
    WorkProgress,
    WorkState,
)
from services.protocols.cases import Case


class Registry(Protocol):
    """Where models, suites and datasets are kept."""

    async def resolve_model(self, model_version_id: str) -> str:
        """Return the version's id, the newest one's for a model's id.

        Raises:
            NotFound: There is no such version.
        """
        ...

    async def is_adapter(self, model_version_id: str) -> bool:
        """Return whether a version is an adapter, which a training goes on with."""
        ...

    async def resolve_watched(self, name: str) -> str:
        """Return the version that an alias points at, a version's own id, or the newest one's for a model's id.

        Raises:
            NotFound: There is no such alias or version.
        """
        ...

    async def resolve_suite(self, test_suite_version_id: str) -> SuiteVersion:
        """Return the version, the newest one for a suite's id.

        Raises:
            NotFound: There is no such version.
        """
        ...

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        """Return all cases of a suite version in its order."""
        ...

    async def register_suite(self, request_id: str, registration: Registration) -> str:
        """Register a suite version once per request id and return its id."""
        ...

    async def set_alias(self, alias_id: str, model_version_id: str, evaluation_id: str) -> None:
        """Let an alias, "<model_id>:<name>", point at a version for which an evaluation speaks, if it does not yet."""
        ...

    async def register_dataset(self, request_id: str, registration: Registration) -> str:
        """Register a dataset version once per request id and return its id."""
        ...


class Work(Protocol):
    """Long work in another service, by the id that its start returned."""

    def watch(self, work_id: str) -> AsyncGenerator[WorkProgress, None]:
        """Yield how far the work is until it has ended, over lost connections too."""
        ...

    async def state(self, work_id: str) -> WorkState:
        """Return how the work stands."""
        ...

    async def cancel(self, work_id: str) -> None:
        """Ask for the end of the work.

        Raises:
            FailedPrecondition: It has ended.
        """
        ...


class TestRunner(Work, Protocol):
    """Runs suites."""

    async def start(self, request_id: str, order: TestOrder) -> str:
        """Start a test run once per request id and return its id."""
        ...

    async def is_incomplete(self, test_run_id: str) -> bool:
        """Return whether a run that has ended left so many cases unanswered that its rates decide nothing."""
        ...

    async def template_faults(
        self, model_version_id: str, profile_id: str, *, prompt_size: str, max_new_tokens: int
    ) -> tuple[TemplateFault, ...]:
        """Return what keeps a version's template or settings from carrying a protocol; the gravest first.

        Raises:
            Unavailable: The service is away; requests ask too, so this call is not patient.
            FailedPrecondition: The version has no template, or its files cannot be read.
        """
        ...

    async def num_generated_tokens(self, test_run_id: str) -> int:
        """Return how many tokens the answers of a run have."""
        ...

    async def finish(self, request_id: str, test_run_id: str) -> str:
        """Have the cases asked that a run did not answer, in a run that takes over all others; return its id."""
        ...


class Evaluator(Work, Protocol):
    """Judges runs."""

    async def start(self, request_id: str, test_run_id: str) -> str:
        """Start an evaluation once per request id and return its id; the run may still be going."""
        ...

    async def readings(self, evaluation_id: str) -> Readings:
        """Return all that an evaluation which has ended measured, by metric and slice."""
        ...

    async def change(self, before_evaluation_id: str, after_evaluation_id: str, metric: str) -> Change:
        """Return how much a rate rose between two evaluations of a suite, paired by case."""
        ...

    async def verdicts(self, evaluation_id: str) -> tuple[ProbeVerdict, ...]:
        """Return the verdicts on all answers in the order of judging; what was not answered is unknown."""
        ...

    async def pairs(self, evaluation_id: str) -> bytes:
        """Return lines, each a dataset's row: an answer that fails by the model's doing, beside the right one."""
        ...


class Trainer(Work, Protocol):
    """Trains model versions."""

    async def start(self, request_id: str, order: TrainingOrder) -> str:
        """Start a training job once per request id and return its id."""
        ...

    async def trained_version(self, training_job_id: str) -> str:
        """Return the model version that a job which has SUCCEEDED registered."""
        ...

    async def adherence(self, training_job_id: str) -> float | None:
        """Return the share of validation answers that conform after a job's last step; None if none was asked for."""
        ...

    async def num_drawn_tokens(self, training_job_id: str) -> int:
        """Return how many tokens the model wrote for the steps of a job."""
        ...

    async def num_trained_tokens(self, training_job_id: str) -> int:
        """Return how many tokens the steps of a job trained on."""
        ...

    async def card(self, training_job_id: str) -> str:
        """Return what a model card says of a training: its data and settings; nothing of one that was deleted."""
        ...


class Artifacts(Protocol):
    """The service's own bytes."""

    async def put_bytes(self, data: bytes, media_type: str = "") -> Artifact:
        """Store bytes under their digest."""
        ...


class LoopAnswers(Protocol):
    """What persons said to decisions, kept until the loop is deleted."""

    async def give(self, loop_id: str, number: int, change: DecisionChange) -> DecisionChange:
        """Store the answer to a decision unless there is one, and return the one that counts."""
        ...

    async def find(self, loop_id: str, number: int) -> DecisionChange | None:
        """Return the answer to a decision, or None."""
        ...

    async def forget(self, loop_id: str) -> None:
        """Remove the answers to a loop's decisions."""
        ...


class LoopStore(Protocol):
    """Loops, kept as durable jobs; `answers` are those of persons to their decisions."""

    answers: LoopAnswers

    async def get(self, job_id: str) -> Loop:
        """Return a loop.

        Raises:
            NotFound: There is none.
        """
        ...

    async def find(self, request_id: str) -> Loop | None:
        """Return the loop that was created under this request id, or None."""
        ...

    async def create(self, request_id: str, asked: LoopSpec, inputs: Inputs) -> Loop:
        """Store a loop; the same request id returns the loop of the first call.

        Raises:
            AlreadyExists: The request id was used with another spec; the error names the field.
        """
        ...

    async def list(self, page_size: int = 0, page_token: str = "") -> tuple[list[Loop], str]:
        """Return a page of loops, newest first, and the token of the next page."""
        ...

    async def spent(self, loop_ids: Sequence[str]) -> dict[str, Spent]:
        """Return what loops have cost so far, by id; those that were deleted are left out."""
        ...

    async def step_seconds(self, loop_id: str) -> dict[str, float]:
        """Return how long the steps of a loop took, by name, from the newest round that has ended them."""
        ...

    async def told_steps(self, loop_id: str) -> set[tuple[int, str, str]]:
        """Return round, step and state of every step event of a loop; a decision is a step named by its number."""
        ...


class Measures(Protocol):
    """What the service shows to Prometheus."""

    def step_ended(self, step: Step, seconds: float) -> None:
        """Count a step that has finished and its time in this process."""
        ...

    def loop_ended(self, reason: StopReason) -> None:
        """Count a loop that has ended by its rules."""
        ...

    def goal_read(self, metric: str, is_met: bool) -> None:
        """Count a goal that a round was evaluated for."""
        ...

    def spent(self, before: Spent, after: Spent) -> None:
        """Count what a loop has cost since it had cost `before`."""
        ...
