"""What callers may do with evaluations."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass

from services.chassis.errors import InvalidArgument, NotFound
from services.chassis.jobs import Job, JobEvent, JobStore, Json, watch
from services.evaluator.domain.evaluation import KIND, EvaluationRecord
from services.evaluator.domain.grader import ModelGrader
from services.evaluator.domain.metrics import Metrics
from services.evaluator.domain.tallies import Totals
from services.evaluator.judging.answers import profile_of
from services.evaluator.metrics.reduction import gather_metrics
from services.evaluator.ports import ChatModels, EvaluationStore, ModelVersions, TestRuns
from services.evaluator.usecases.paging import checked_page_size, place_of

_MAX_ID_LENGTH = 200
_MAX_RUBRIC_CHARACTERS = 20_000


@dataclass(frozen=True)
class Evaluation:
    """An evaluation as callers see it."""

    job: Job
    record: EvaluationRecord
    metrics: Metrics


class EvaluationUseCases:
    """Starts, shows, follows and cancels evaluations."""

    def __init__(
        self, *, jobs: JobStore, store: EvaluationStore, runs: TestRuns, models: ChatModels, versions: ModelVersions
    ) -> None:
        self._jobs = jobs
        self._store = store
        self._runs = runs
        self._models = models
        self._versions = versions

    async def create(self, request_id: str, test_run_id: str, grader: ModelGrader | None = None) -> Evaluation:
        """Store an evaluation of a run, which may still be going; the same request_id gives the same evaluation.

        Raises:
            InvalidArgument: No run is named, or the grader's settings are not ones.
            NotFound: There is no such run, or no such version of a model that grades.
            FailedPrecondition: The run's protocol is unknown to this release.
            AlreadyExists: The request_id was used for another run or grader.
        """
        if not 0 < len(test_run_id) <= _MAX_ID_LENGTH:
            raise InvalidArgument("test_run_id is empty or too long.", "Name a test run.", field="test_run_id")
        spec: Json = {"test_run_id": test_run_id}
        if grader is not None:
            _check_grader(grader)
            self._models.open(grader)
            if not grader.base_url:
                await self._versions.check_model_version(grader.model)
            spec["model_grader"] = asdict(grader)
        run = await self._runs.get_run(test_run_id)
        profile = profile_of(run.subject.profile_id)
        job = await self._jobs.create(KIND, request_id, spec, job_id=f"eval-{uuid.uuid4().hex[:16]}")
        record = EvaluationRecord(job.job_id, run.subject, profile.digest, grader=grader, totals=Totals())
        return (await self._shown([await self._store.add_evaluation(record)]))[0]

    async def get(self, evaluation_id: str) -> Evaluation:
        """Return an evaluation with the metrics of its verdicts so far.

        Raises:
            NotFound: There is none.
        """
        return (await self._shown([await self.record(evaluation_id)]))[0]

    async def record(self, evaluation_id: str) -> EvaluationRecord:
        """Return what is kept of an evaluation, without metrics that would have to be computed.

        Raises:
            NotFound: There is none.
        """
        record = await self._store.get_evaluation(evaluation_id)
        if record is None:
            raise _not_found(evaluation_id)
        return record

    async def list_evaluations(
        self, test_run_id: str, *, page_size: int, page_token: str
    ) -> tuple[list[Evaluation], str]:
        """Return evaluations, newest first, and the token of the next page."""
        wanted = checked_page_size(page_size)
        records = await self._store.list_evaluations(test_run_id, place_of(page_token), wanted + 1)
        token = str(records[wanted - 1].ordinal) if len(records) > wanted else ""
        return await self._shown(records[:wanted]), token

    async def cancel(self, evaluation_id: str) -> Evaluation:
        """Ask an evaluation to end; its verdicts are kept.

        Raises:
            FailedPrecondition: It has ended.
        """
        await self.record(evaluation_id)
        await self._jobs.request_cancel(evaluation_id)
        return await self.get(evaluation_id)

    async def watch(self, evaluation_id: str, after_sequence: int) -> AsyncIterator[JobEvent]:
        """Yield the events of an evaluation, ending after the final one."""
        await self.record(evaluation_id)
        async for event in watch(self._jobs, evaluation_id, after_sequence):
            yield event

    async def _shown(self, records: Sequence[EvaluationRecord]) -> list[Evaluation]:
        return [
            Evaluation(await self._jobs.get(record.evaluation_id), record, await gather_metrics(self._store, record))
            for record in records
        ]


def _check_grader(grader: ModelGrader) -> None:
    if not grader.model or len(grader.model) > _MAX_ID_LENGTH:
        raise InvalidArgument(
            "The grader's model is empty or too long.", "Name a model at the endpoint.", field="model_grader.model"
        )
    if not 0 <= grader.sample_rate <= 1:
        raise InvalidArgument(
            f"The grader's sample_rate is {grader.sample_rate:g}.",
            "Give a share from 0 to 1; 0 grades all answers.",
            field="model_grader.sample_rate",
        )
    if len(grader.rubric) > _MAX_RUBRIC_CHARACTERS:
        raise InvalidArgument(
            "The rubric is too long.",
            f"Send at most {_MAX_RUBRIC_CHARACTERS} characters.",
            field="model_grader.rubric",
        )


def _not_found(evaluation_id: str) -> NotFound:
    return NotFound(f"There is no evaluation {evaluation_id[:100]!r}.", "List the evaluations to see their ids.")
