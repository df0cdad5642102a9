"""Carries out a search for settings: short trainings on the round's dataset, the better half again and for longer."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from services.chassis.errors import FailedPrecondition, InvalidArgument, ServiceError
from services.chassis.wire.fields import default_of
from services.feedback.datasets.builder import NUM_VALIDATION_EXAMPLES
from services.feedback.decisions.decision import Decision
from services.feedback.decisions.search import SEARCH, best_trial, first_rung, next_rung, trained_spec, trial_settings
from services.feedback.decisions.trial import SearchTrial
from services.feedback.domain.rounds import Step
from services.feedback.domain.rules import round_seed, spent_up
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.spending import Cost
from services.feedback.domain.work import TrainingOrder, WorkProgress
from services.feedback.jobs.record import LoopRecord
from services.feedback.jobs.steps import Services
from services.feedback.jobs.waiting import uninterrupted, until_ended

# As many characters as the registry allows, without what is put behind.
_MAX_MODEL_ID = 100 - len(f"-{SEARCH}")
# Of a trial that lasts a few steps, one measurement at its end is enough.
_OF_LONG_TRAININGS = ("eval_steps", "early_stopping_patience", "load_best_model_at_end")


class SettingsSearch:
    """Searches in the round that a record is at, going on from what the record holds.

    A trial's request id follows from loop, round and number, and its job is recorded before it is waited for.
    """

    def __init__(self, services: Services, record: LoopRecord) -> None:
        self._services = services
        self._record = record

    async def run(self, decision: Decision) -> None:
        """Train and judge trials until the search is over, or a bound of it or of the loop is reached."""
        record = self._record
        await record.started(Step.SEARCH, f"How {decision.model_version_id} is trained best.")
        if not record.round.trials:
            is_foreign = await self._is_foreign(decision.model_version_id)
            await record.update(trials=first_rung(self._spec(decision), is_foreign=is_foreign))
        while trial := await self._next():
            await self._judge(trial, decision)
        best = best_trial(record.round.trials)
        await record.finished(Step.SEARCH, f"Best: {best.sentence}." if best else "No trial has a result.")

    async def _next(self) -> SearchTrial | None:
        """Return the trial that is under way or comes next; None where the search is over."""
        record = self._record
        trial = self._open_trial()
        if trial is None and (rung := next_rung(record.spec, record.round.trials)):
            await record.update(trials=(*record.round.trials, *rung))
            trial = self._open_trial()
        # What has begun is done to its end.
        return trial if trial and (trial.training_job_id or not self._is_spent_up()) else None

    def _open_trial(self) -> SearchTrial | None:
        return next((trial for trial in self._record.round.trials if not trial.is_judged), None)

    def _is_spent_up(self) -> bool:
        record = self._record
        costs = [cost for name, cost in record.round.costs.items() if name.startswith(f"{SEARCH}-")]
        is_over = sum(cost.seconds for cost in costs) >= 60 * record.spec.search.max_minutes
        return is_over or spent_up(record.spec, record.rounds, record.seconds) is not None

    async def _judge(self, trial: SearchTrial, decision: Decision) -> None:
        record, trainer = self._record, self._services.trainer
        job_id = trial.training_job_id or await self._begun(trial, decision)
        if not job_id:
            return
        words = f"trial {trial.number} of {len(record.round.trials)}, {trial.settings}"

        async def report(progress: WorkProgress) -> None:
            await record.report(Step.SEARCH, replace(progress, message=f"{words} · {progress.message}"))

        problem = ""
        try:
            await until_ended(trainer, job_id, "training job", report)
        except ServiceError as error:
            # Settings that cannot be trained, such as a rank that needs too much memory, lose; the loop goes on.
            problem = str(error)
        value = None if problem else await trainer.adherence(job_id)
        if value is None and not problem:
            problem = "it answered nothing of the validation split."
        seconds, num_tokens = (await trainer.state(job_id)).seconds, await trainer.num_trained_tokens(job_id)
        costs = {f"{SEARCH}-{trial.number}": Cost(seconds=seconds, num_trained_tokens=num_tokens)}
        num_cases = min(NUM_VALIDATION_EXAMPLES, record.spec.num_examples)
        result = replace(trial, training_job_id=job_id, is_judged=True, problem=problem)
        if value is not None:
            result = replace(result, value=value, num_cases=num_cases)
        await self._keep(result, costs={**record.round.costs, **costs})

    async def _begun(self, trial: SearchTrial, decision: Decision) -> str:
        """Return the training of a trial; empty where the trainer refuses it, so that the trial has lost."""
        try:
            return await uninterrupted(self._start(trial, decision))
        except (FailedPrecondition, InvalidArgument) as error:
            await self._keep(replace(trial, is_judged=True, problem=str(error)))
            return ""

    async def _start(self, trial: SearchTrial, decision: Decision) -> str:
        record = self._record
        order = TrainingOrder(
            model_version_id=decision.model_version_id,
            dataset_version_id=record.round.dataset_version_id,
            seed=round_seed(record.spec.seed, record.round.number),
            settings=self._settings(trial, decision),
        )
        job_id = await self._services.trainer.start(record.request_id(f"{SEARCH}-{trial.number}"), order)
        await self._keep(replace(trial, training_job_id=job_id))
        return job_id

    def _settings(self, trial: SearchTrial, decision: Decision) -> dict[str, Any]:
        """Return the settings of a trial; its version belongs to a model of its own, of which none is the newest."""
        spec = self._spec(decision)
        settings = replace(decision, training=trial_settings(spec, trial)).settings(spec.training)
        for name in _OF_LONG_TRAININGS:
            settings.pop(name, None)
        field = TrainingJobSpec.DESCRIPTOR.fields_by_name["batch_size"]
        num_steps = ceil(trial.num_examples / int(settings.get("batch_size") or default_of(field)))
        model_id = decision.model_version_id.rpartition("@")[0][:_MAX_MODEL_ID].rstrip("-.")
        return {**settings, "max_steps": num_steps, "output_model_id": f"{model_id}-{SEARCH}"}

    def _spec(self, decision: Decision) -> LoopSpec:
        return trained_spec(self._record.spec, self._record.rounds, decision.model_version_id)

    async def _is_foreign(self, model_version_id: str) -> bool:
        is_made_here = any(item.model_version_id == model_version_id for item in self._record.rounds[1:])
        return not is_made_here and await self._services.registry.is_adapter(model_version_id)

    async def _keep(self, trial: SearchTrial, **fields: Any) -> None:
        trials = [trial if each.number == trial.number else each for each in self._record.round.trials]
        await self._record.update(trials=tuple(trials), **fields)
