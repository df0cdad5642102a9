"""What callers may do with evaluations."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.chassis.errors import InvalidArgument, NotFound
from services.chassis.jobs import Job, JobResource, JobStore, Json
from services.chassis.machine.caller import used_up
from services.chassis.wire import from_document, to_document
from services.chassis.wire.paging import LAST_PLACE, checked_page_size, page_of, place_of
from services.evaluator.domain.evaluation import KIND, EvaluationRecord, ModelGrader
from services.evaluator.domain.metrics import Metrics
from services.evaluator.domain.tallies import Totals
from services.evaluator.judging.answers import profile_of
from services.evaluator.metrics.reduction import gather_metrics
from services.evaluator.ports import ChatModels, EvaluationStore, ModelVersions, TestRuns
from services.protocols.verdict import is_incomplete

_MAX_ID_LENGTH = 200
_MAX_RUBRIC_CHARACTERS = 20_000


@dataclass(frozen=True)
class Evaluation:
    """An evaluation as callers see it."""

    job: Job
    record: EvaluationRecord
    metrics: Metrics

    @property
    def is_incomplete(self) -> bool:
        """Whether it has ended with so many cases unanswered or missing that its rates decide nothing."""
        is_short = is_incomplete(self.metrics.overall.num_cases, self.record.subject.num_transcripts_total)
        return self.job.state.is_final and is_short


class EvaluationUseCases:
    """Starts and lists evaluations; `resource` does what every kind of job lets callers do."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        store: EvaluationStore,
        runs: TestRuns,
        models: ChatModels,
        versions: ModelVersions,
        forget: Callable[[str], Awaitable[None]],
    ) -> None:
        self.resource = JobResource(jobs, KIND, "evaluation", self._load, forget=forget)
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
            QuotaExceeded: A model would grade, and the workspace's tokens are used up.
            AlreadyExists: The request_id was used for another run or grader.
        """
        if not 0 < len(test_run_id) <= _MAX_ID_LENGTH:
            raise InvalidArgument("test_run_id is empty or too long.", "Name a test run.", field="test_run_id")
        spec: Json = {"test_run_id": test_run_id}
        if grader is None:
            # Rules of the protocol cost no tokens.
            used_up.set("")
        else:
            _check_grader(grader)
            self._models.open(grader)
            if not grader.base_url:
                await self._versions.check_model_version(grader.model)
            spec["model_grader"] = to_document(grader)
        run = await self._runs.get_run(test_run_id)
        profile = profile_of(run.subject.profile_id)
        job_id = f"eval-{uuid.uuid4().hex[:16]}"
        job = await self._jobs.create(KIND, request_id, spec, job_id=job_id, rewrite=_rewritten)
        record = EvaluationRecord(job.job_id, run.subject, profile.digest, grader=grader, totals=Totals())
        return await self._evaluation(job, await self._store.add_evaluation(record))

    async def record(self, evaluation_id: str) -> EvaluationRecord:
        """Return what is kept of an evaluation, without metrics that would have to be computed.

        Raises:
            NotFound: There is none.
        """
        record = await self._store.get_evaluation(evaluation_id)
        if record is None:
            raise NotFound(f"There is no evaluation {evaluation_id[:100]!r}.", "List the evaluations to see their ids.")
        return record

    async def list_evaluations(
        self, test_run_id: str, *, page_size: int, page_token: str
    ) -> tuple[list[Evaluation], str]:
        """Return evaluations, newest first, and the token of the next page."""
        size, before = checked_page_size(page_size), place_of(page_token, LAST_PLACE)
        records = await self._store.list_evaluations(test_run_id, before, size + 1)
        page, token = page_of(records, size, lambda record: record.ordinal)
        return [await self._evaluation(await self._jobs.get(item.evaluation_id), item) for item in page], token

    async def _load(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [await self._evaluation(job, await self.record(job.job_id)) for job in jobs]

    async def _evaluation(self, job: Job, record: EvaluationRecord) -> Evaluation:
        return Evaluation(job, record, await gather_metrics(self._store, record))


def _rewritten(spec: Json) -> Json:
    grader = spec.get("model_grader")
    return {**spec, "model_grader": to_document(from_document(ModelGrader, grader))} if grader else spec


def _check_grader(grader: ModelGrader) -> None:
    if not grader.model or len(grader.model) > _MAX_ID_LENGTH:
        raise InvalidArgument(
            "The grader's model is empty or too long.", "Name a model at the endpoint.", field="model_grader.model"
        )
    if len(grader.rubric) > _MAX_RUBRIC_CHARACTERS:
        raise InvalidArgument(
            "The rubric is too long.", f"Send at most {_MAX_RUBRIC_CHARACTERS} characters.", field="model_grader.rubric"
        )
