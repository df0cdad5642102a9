"""Guardrails: each version answers other suites, and is held against the version to begin with, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.feedback.domain.goals import Reading
from services.feedback.domain.guardrails import Change, GuardrailReading, guardrail_sentence, measured
from services.feedback.domain.rounds import Step
from services.feedback.domain.work import TestOrder
from services.feedback.jobs.record import LoopRecord
from services.feedback.jobs.trials import RunIds, Trial, Trials
from services.feedback.ports.neighbours import Evaluator, TestRunner


class Guardrails:
    """Measures the guardrails of the round that a record is at, going on from what the record holds."""

    def __init__(self, test_runner: TestRunner, evaluator: Evaluator, record: LoopRecord) -> None:
        self._evaluator = evaluator
        self._record = record
        self._trials = Trials(test_runner, evaluator, record)

    async def measure(self) -> None:
        """Measure what is not yet measured, one guardrail after the other."""
        record = self._record
        guardrails = record.spec.guardrails
        if not guardrails:
            return
        if not record.round.guardrails:
            await record.update(guardrails=tuple(GuardrailReading() for _ in guardrails))
        for place, reading in enumerate(record.round.guardrails):
            if not reading.is_measured:
                await self._measure(place)
        pairs = zip(guardrails, record.round.guardrails, strict=True)
        words = "; ".join(guardrail_sentence(*pair) for pair in pairs)
        await record.finished(Step.GUARDRAIL, f"{words[0].upper()}{words[1:]}.")

    async def _measure(self, place: int) -> None:
        record, guardrail = self._record, self._record.spec.guardrails[place]
        evaluation_id = await self._trials.judge(self._trial(place))
        readings = await self._evaluator.readings(evaluation_id)
        reading = readings.get((guardrail.metric, ""), Reading(0.0))
        first, change = record.rounds[0].guardrails[place], Change()
        if record.round.number:
            change = await self._evaluator.change(first.evaluation_id, evaluation_id, guardrail.metric)
        ids = record.round.guardrails[place]
        await self._keep(place, measured(guardrail, ids, reading.value, change))

    def _trial(self, place: int) -> Trial:
        record, guardrail = self._record, self._record.spec.guardrails[place]
        order = TestOrder(
            model_version_id=record.round.tested_model_version_id,
            test_suite_version_id=record.inputs.guardrail_suites[place].test_suite_version_id,
            prompt_size=guardrail.prompt_size,
            max_new_tokens=record.spec.max_new_tokens,
            seed=record.spec.seed,
        )

        def ids() -> RunIds:
            reading = record.round.guardrails[place]
            return RunIds(reading.test_run_id, reading.evaluation_id)

        async def keep(ids: Mapping[str, Any], **fields: Any) -> None:
            await self._keep(place, replace(record.round.guardrails[place], **ids), **fields)

        return Trial(order, Step.GUARDRAIL, Step.GUARDRAIL, ids, keep, name=f"guardrail-{place}")

    async def _keep(self, place: int, reading: GuardrailReading, **fields: Any) -> None:
        readings = list(self._record.round.guardrails)
        readings[place] = reading
        await self._record.update(guardrails=tuple(readings), **fields)
