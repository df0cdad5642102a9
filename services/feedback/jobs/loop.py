"""The loop: test, and while the goals are not met probe, build a dataset, train and test again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from services.chassis.errors import FailedPrecondition, NotFound, ServiceError
from services.chassis.jobs import JobContext, Json
from services.feedback.domain.loop import job_result, rounds_of
from services.feedback.domain.rounds import Rates, Round, Step, Stop
from services.feedback.domain.rules import decide
from services.feedback.jobs.journal import Journal
from services.feedback.jobs.lesson import Curriculum, Lesson, Probe
from services.feedback.jobs.trial import SUITE_TRIAL, Trial, TrialRunner
from services.feedback.ports import Artifacts, Evaluator, LoopStore, Measures, Registry, TestRunner, Trainer, Work

_CANCEL_SECONDS = 10.0
# A watcher never sees more than five seconds of silence.
_BEAT_SECONDS = 2.0
_log = structlog.get_logger()


@dataclass(frozen=True)
class Services:
    """The other services, as this one sees them."""

    registry: Registry
    test_runner: TestRunner
    evaluator: Evaluator
    trainer: Trainer


class LoopJob:
    """Does jobs of kind "loop".

    The id of everything that is started is recorded before it is waited for, and request ids follow from loop, round
    and step, so a loop that was killed anywhere goes on without doing anything twice.
    """

    def __init__(
        self,
        services: Services,
        store: LoopStore,
        artifacts: Artifacts,
        *,
        measures: Measures,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        registry, evaluator = services.registry, services.evaluator
        self._services = services
        self._store = store
        self._measures = measures
        self._now = now
        self._trials = TrialRunner(services.test_runner, evaluator)
        self._probe = Probe(registry, artifacts, trials=self._trials, evaluator=evaluator)
        self._curriculum = Curriculum(registry, artifacts, evaluator)
        self._lesson = Lesson(services.trainer)

    async def run(self, context: JobContext) -> Json:
        """Play rounds until the goals or the budget end the loop, and return why it ended."""
        try:
            return await self._play(context)
        except asyncio.CancelledError:
            if context.cancel_requested:
                await self.clean_up(context)
            raise

    async def clean_up(self, context: JobContext) -> Json:
        """Cancel what the round that is going on has started in other services and what has not ended."""
        rounds = rounds_of(context.saved)
        for work, work_id in self._started(rounds[-1]) if rounds else ():
            await _cancel(work, work_id)
        return {}

    async def _play(self, context: JobContext) -> Json:
        journal = await Journal.open(context, self._store, self._measures)
        beat = asyncio.create_task(_beat(journal))
        try:
            if not journal.rounds:
                await journal.begin(Round(0, journal.inputs.model_version_id))
            while (stop := await self._test(journal, context)) is None:
                trained = await self._teach(journal)
                await journal.begin(Round(journal.round.number + 1, trained))
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        await journal.ended(stop)
        return job_result(stop)

    async def _test(self, journal: Journal, context: JobContext) -> Stop | None:
        if journal.round.rates is None:
            suite_id = journal.inputs.suite.test_suite_version_id
            trial = Trial(SUITE_TRIAL, journal.round.model_version_id, suite_id)
            evaluation_id = await self._trials.run(journal, trial)
            rates = await self._services.evaluator.rates(evaluation_id)
            await journal.finished(Step.EVALUATE, _told(rates), evaluation_id=evaluation_id)
            await journal.record(rates=rates)
        if journal.round.probe_test_suite_version_id:
            # Decided before a restart: what has begun since is not given up because of the time that the restart took.
            return None
        began = context.job.start_time or context.job.create_time
        return decide(journal.spec, journal.rounds, (self._now() - began).total_seconds())

    async def _teach(self, journal: Journal) -> str:
        evaluation_id = await self._probe.run(journal)
        dataset_id = await self._curriculum.run(journal, evaluation_id)
        return await self._lesson.run(journal, dataset_id)

    def _started(self, made: Round) -> list[tuple[Work, str]]:
        services = self._services
        started = [
            (services.trainer, made.training_job_id),
            (services.evaluator, made.evaluation_id),
            (services.test_runner, made.test_run_id),
            (services.evaluator, made.probe_evaluation_id),
            (services.test_runner, made.probe_test_run_id),
        ]
        return [(work, work_id) for work, work_id in started if work_id]


async def _beat(journal: Journal) -> None:
    while True:
        await asyncio.sleep(_BEAT_SECONDS)
        try:
            await journal.beat()
        except ServiceError as error:
            # A lost lease ends the job by itself; a database that is away is waited for by the writes that matter.
            _log.warning("progress_not_stored", reason=str(error))


async def _cancel(work: Work, work_id: str) -> None:
    try:
        await asyncio.wait_for(work.cancel(work_id), _CANCEL_SECONDS)
    except (FailedPrecondition, NotFound):
        # It ended before it could be cancelled.
        return
    except (ServiceError, TimeoutError) as error:
        _log.warning("work_not_cancelled", work_id=work_id, reason=str(error) or "no answer")


def _told(rates: Rates) -> str:
    return (
        f"{rates.conforming_rate:.1%} conform, {rates.accepted_rate:.1%} are accepted, "
        f"{rates.well_formed_rate:.1%} are well formed."
    )
