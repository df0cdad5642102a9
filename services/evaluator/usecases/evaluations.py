"""What callers may do with evaluations."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.chassis.errors import InvalidArgument, NotFound
from services.chassis.jobs import Job, JobEvent, JobStore, watch
from services.evaluator.domain.evaluation import KIND, EvaluationRecord, Metrics
from services.evaluator.judging import profile_of
from services.evaluator.metrics import reduce_tallies
from services.evaluator.ports import EvaluationStore, TestRuns
from services.evaluator.usecases.paging import checked_page_size, place_of

_MAX_ID_LENGTH = 200


@dataclass(frozen=True)
class Evaluation:
    """An evaluation as callers see it."""

    job: Job
    record: EvaluationRecord
    metrics: Metrics


class EvaluationUseCases:
    """Starts, shows, follows and cancels evaluations."""

    def __init__(self, *, jobs: JobStore, store: EvaluationStore, runs: TestRuns) -> None:
        self._jobs = jobs
        self._store = store
        self._runs = runs

    async def create(self, request_id: str, test_run_id: str) -> Evaluation:
        """Store an evaluation of a run, which may still be going; the same request_id gives the same evaluation.

        Raises:
            InvalidArgument: No run is named.
            NotFound: There is no such run.
            FailedPrecondition: The run's protocol is unknown to this release.
            AlreadyExists: The request_id was used for another run.
        """
        if not 0 < len(test_run_id) <= _MAX_ID_LENGTH:
            raise InvalidArgument("test_run_id is empty or too long.", "Name a test run.", field="test_run_id")
        run = await self._runs.get_run(test_run_id)
        profile = profile_of(run.subject.profile_id)
        job = await self._jobs.create(
            KIND, request_id, {"test_run_id": test_run_id}, job_id=f"eval-{uuid.uuid4().hex[:16]}"
        )
        record = EvaluationRecord(job.job_id, run.subject, judge_digest=profile.digest)
        return (await self._shown([await self._store.add_evaluation(record)]))[0]

    async def get(self, evaluation_id: str) -> Evaluation:
        """Return an evaluation with the metrics of its verdicts so far.

        Raises:
            NotFound: There is none.
        """
        record = await self._store.get_evaluation(evaluation_id)
        if record is None:
            raise _not_found(evaluation_id)
        return (await self._shown([record]))[0]

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
        await self.get(evaluation_id)
        await self._jobs.request_cancel(evaluation_id)
        return await self.get(evaluation_id)

    async def watch(self, evaluation_id: str, after_sequence: int) -> AsyncIterator[JobEvent]:
        """Yield the events of an evaluation, ending after the final one."""
        await self.get(evaluation_id)
        async for event in watch(self._jobs, evaluation_id, after_sequence):
            yield event

    async def _shown(self, records: Sequence[EvaluationRecord]) -> list[Evaluation]:
        tallies = await self._store.tallies([record.evaluation_id for record in records])
        return [
            Evaluation(
                job=await self._jobs.get(record.evaluation_id),
                record=record,
                metrics=reduce_tallies(tallies.get(record.evaluation_id, [])),
            )
            for record in records
        ]


def _not_found(evaluation_id: str) -> NotFound:
    return NotFound(f"There is no evaluation {evaluation_id[:100]!r}.", "List the evaluations to see their ids.")
