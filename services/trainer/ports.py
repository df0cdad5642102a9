"""What the trainer needs from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.trainer.domain.attempt import Attempt, AttemptOutcome, AttemptReport, Checkpoint, CurvePoint
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.preflight import PreflightRequest, RowsReport
from services.trainer.domain.spec import TrainingJobSpec


class Registry(Protocol):
    """Where models and datasets are kept."""

    async def resolve(self, spec: TrainingJobSpec) -> TrainingInputs:
        """Return what a job of `spec` reads.

        Raises:
            NotFound: There is no such version.
            FailedPrecondition: The model cannot be trained, or the dataset has no train split.
        """

    async def list_suites(self) -> tuple[tuple[str, Artifact], ...]:
        """Return the id and the cases of every test suite version that tests; what a loop drew to probe does not."""

    async def register_weights(
        self, request_id: str, inputs: TrainingInputs, weights: Artifact, *, is_adapter: bool, produced_by: str
    ) -> str:
        """Register an adapter of the job's base weights, or whole weights that were trained from them.

        Returns the version's id; a request_id gives it once.
        """


class RowsReader(Protocol):
    """Looks at the rows of a dataset, in a process of its own."""

    async def look(self, request: PreflightRequest) -> RowsReport:
        """Return what is known of the rows by the end of the request's time; asked again, it knows more.

        Raises:
            FailedPrecondition: The model's files cannot be used, or its template takes too much.
            Unavailable: The process broke down.
            ResourceExhausted: Too many ask at once.
        """


class TrainingStore(Protocol):
    """Keeps what belongs to jobs besides their rows."""

    async def add_inputs(self, training_job_id: str, inputs: TrainingInputs) -> TrainingInputs:
        """Store the inputs of a job, or return those that are stored already."""

    async def delete_job(self, training_job_id: str) -> None:
        """Remove all that is stored of a job; nothing happens when there is nothing."""

    async def get_inputs(self, training_job_ids: Sequence[str]) -> Mapping[str, TrainingInputs]:
        """Return the inputs that are stored, by job."""

    async def list_attempts(self, training_job_ids: Sequence[str]) -> Mapping[str, tuple[Attempt, ...]]:
        """Return the attempts of each job, oldest first."""

    async def begin_attempt(self, training_job_id: str, epoch: int, *, checkpoint: Checkpoint | None) -> Attempt:
        """Store a new attempt that goes on from `checkpoint`, or from step 0."""

    async def end_attempt(
        self,
        training_job_id: str,
        attempt: int,
        epoch: int,
        *,
        outcome: AttemptOutcome,
        reason: str,
        is_permanent: bool,
    ) -> Attempt:
        """Store how an attempt ended and return it; the first outcome stays."""

    async def add_report(self, report: AttemptReport, *, save_total_limit: int) -> AttemptReport:
        """Store a report, and return it with only those points and checkpoints that are new: each has its event."""

    async def list_checkpoints(self, training_job_id: str) -> tuple[Checkpoint, ...]:
        """Return the checkpoints, newest first, each with what was measured after its step."""

    async def delete_checkpoints(self, training_job_id: str, steps: Sequence[int]) -> None:
        """Forget the checkpoints of these steps of a job."""

    async def list_curve_points(
        self, training_job_id: str, metric: str, *, after: tuple[int, str], limit: int
    ) -> tuple[CurvePoint, ...]:
        """Return up to `limit` points behind `after` by (step, metric), of one metric or, when it is empty, of all."""


class TrainingBackend(Protocol):
    """Runs the processes of attempts.

    Attributes:
        fetches_artifacts: Whether the processes have a disk of their own: plans name artifacts by their URIs, and
            checkpoints are artifacts when they are reported.
    """

    fetches_artifacts: bool

    def wait_reason(self, training_job_id: str) -> str:
        """Return what the processes of a job wait for before they begin, as a sentence; empty when they do not."""

    async def prepare(self, plan: AttemptPlan) -> AttemptPlan:
        """Write what an attempt begins with, and return its plan with the places of it; safe to repeat.

        Raises:
            ResourceExhausted: There is no room for it now.
        """

    async def run(self, plan: AttemptPlan) -> int:
        """Start the processes of a prepared plan; return the driver's exit code (negative: the signal) at its end.

        Cancelled, it ends them all first.

        Raises:
            ResourceExhausted: The processes took more memory than they may, and were ended.
            PreemptedError: They were taken away for others' sake.
        """

    async def clear(self, training_job_id: str) -> int:
        """End every process that an earlier attempt at a job left behind, and say how many there were."""

    async def remove(self, training_job_id: str) -> None:
        """Do the same, and remove the files of the job's attempts from this machine."""
