"""The loop: test, and while the goals are not met probe, build a dataset, train and test again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition, NotFound, ServiceError
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import waits_told
from services.feedback.decisions.decision import DecisionAction
from services.feedback.domain.loop import job_result, rounds_of
from services.feedback.domain.rounds import Round, Stop, StopReason
from services.feedback.domain.rules import best_round, decide, stop_without_lesson
from services.feedback.jobs.deciding import RoundDecisions
from services.feedback.jobs.guardrails import Guardrails
from services.feedback.jobs.record import LoopRecord, open_record
from services.feedback.jobs.search import SettingsSearch
from services.feedback.jobs.steps import RoundSteps, Services
from services.feedback.jobs.training import TrainingSteps
from services.feedback.ports.neighbours import Work
from services.feedback.ports.stores import LoopStore
from services.feedback.telemetry import FeedbackTelemetry

_CANCEL_SECONDS = 10.0
# A watcher never sees more than five seconds of silence.
_BEAT_SECONDS = 2.0
_log = structlog.get_logger()


class LoopJob:
    """Does jobs of kind "loop".

    The id of everything that is started is recorded before it is waited for, and request ids follow from loop, round
    and step, so a loop that was killed anywhere goes on without doing anything twice.
    """

    def __init__(
        self,
        services: Services,
        store: LoopStore,
        artifacts: ArtifactStore,
        *,
        measures: FeedbackTelemetry,
        clock: Callable[[], float] = time.monotonic,
        beat_seconds: float = _BEAT_SECONDS,
    ) -> None:
        """Keep what every loop needs.

        A loop that waits says every `beat_seconds` that it lives, and looks as often for a person's answer.
        """
        self._services = services
        self._store = store
        self._artifacts = artifacts
        self._measures = measures
        self._clock = clock
        self._beat_seconds = beat_seconds

    async def run(self, context: JobContext) -> Json:
        """Do rounds until the goals or the budget end the loop, and return why it ended."""
        record = await open_record(context, self._store, self._measures, clock=self._clock)
        beat = asyncio.create_task(self._beat(record))
        try:
            with waits_told(record.waits):
                stop = await self._rounds(record)
        except asyncio.CancelledError:
            if context.cancel_requested:
                await self.clean_up(context)
            raise
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        stop = await self._named(record, stop)
        await record.ended(stop)
        return job_result(stop)

    async def clean_up(self, context: JobContext) -> Json:
        """Cancel what the round that is going on has started in other services and what has not ended."""
        rounds = rounds_of(context.saved)
        if not rounds:
            return {}
        services, last = self._services, rounds[-1]
        started: list[tuple[Work, str]] = [
            (services.exports, last.export_id),
            (services.trainer, last.training_job_id),
            *((services.trainer, trial.training_job_id) for trial in last.trials if not trial.is_judged),
            (services.evaluator, last.evaluation_id),
            (services.test_runner, last.test_run_id),
            (services.evaluator, last.probe_evaluation_id),
            (services.test_runner, last.probe_test_run_id),
            (services.evaluator, last.sample_evaluation_id),
            (services.test_runner, last.sample_test_run_id),
            *((services.evaluator, reading.evaluation_id) for reading in last.guardrails),
            *((services.test_runner, reading.test_run_id) for reading in last.guardrails),
        ]
        for work, work_id in started:
            if work_id:
                await cancel_work(work, work_id)
        return {}

    async def _rounds(self, record: LoopRecord) -> Stop:
        if not record.rounds:
            await record.begin(Round(0, record.inputs.model_version_id))
        steps = RoundSteps(self._services, self._artifacts, record)
        decisions = RoundDecisions(self._services, steps, record, self._store.answers, self._beat_seconds)
        stop = await decisions.on_template()
        while stop is None:
            stop = await self._tested(record, steps, decisions) or await self._taught(record, steps, decisions)
        return stop

    async def _tested(self, record: LoopRecord, steps: RoundSteps, decisions: RoundDecisions) -> Stop | None:
        """Test the round's version, and say whether the loop ends with it."""
        if record.round.rates is None:
            await steps.export()
            await steps.test()
        await Guardrails(self._services.test_runner, self._services.evaluator, record).measure()
        # What has begun before a restart is not given up because of the time that the restart took.
        if record.round.probe_test_suite_version_id:
            return None
        stop = None
        if all(goal.facts.is_bounded_above for goal in record.spec.goals):
            # Answers that say nothing of the model are fast, and fail by no other cause.
            stop = await decisions.on_answers()
        stop = stop or decide(record.spec, record.rounds, record.seconds) or await decisions.on_answers()
        if stop is None:
            best = best_round(record.spec.goals, record.rounds) or record.rounds[0]
            await record.update(base_model_version_id=best.model_version_id)
        return stop

    async def _taught(self, record: LoopRecord, steps: RoundSteps, decisions: RoundDecisions) -> Stop | None:
        """Train the best version on what its probe shows and begin the next round, or say why there is none."""
        verdicts = await steps.probe()
        if stop := stop_without_lesson(record.spec, record.rounds):
            return stop
        decision = await decisions.on_training(verdicts)
        training = TrainingSteps(self._services, self._artifacts, record)
        await training.build_dataset(decision)
        if decision.action is DecisionAction.SEARCH:
            await SettingsSearch(self._services, record).run(decision)
            decision = await decisions.on_trials(decision)
        await record.begin(Round(record.round.number + 1, await training.train(decision)))
        return None

    async def _named(self, record: LoopRecord, stop: Stop) -> Stop:
        """Let the alias that was asked for point at the version that met the goals, and say how it is promoted."""
        name, best = record.spec.candidate_alias, best_round(record.spec.goals, record.rounds)
        if stop.reason is not StopReason.GOALS_MET or not name or best is None:
            return stop
        model_id = best.model_version_id.rpartition("@")[0]
        alias_id = f"{model_id}:{name}"
        await self._services.registry.set_alias(alias_id, best.model_version_id, best.evaluation_id)
        return replace(
            stop,
            sentence=f"{stop.sentence} {alias_id} is {best.model_version_id}.",
            next_step=f"Let it answer: `drillyard promote {best.model_version_id} --alias {model_id}:champion`.",
        )

    async def _beat(self, record: LoopRecord) -> None:
        while True:
            await asyncio.sleep(self._beat_seconds)
            await record.beat()


async def cancel_work(work: Work, work_id: str) -> None:
    """Ask for the end of work elsewhere, and wait a while for the answer; a service that is away is told in the log."""
    try:
        await asyncio.wait_for(work.cancel(work_id), _CANCEL_SECONDS)
    except (FailedPrecondition, NotFound):
        # It ended before it could be cancelled.
        return
    except (ServiceError, TimeoutError) as error:
        _log.warning("work_not_cancelled", work_id=work_id, reason=str(error) or "no answer")
