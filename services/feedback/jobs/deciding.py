"""Decides what a round does next: gathers what the rules look at, and stores each decision before it is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from services.chassis.waiting import patiently
from services.feedback.datasets.pairs import pairs_of
from services.feedback.decisions.answers import answered
from services.feedback.decisions.decision import Decision, DecisionAction, DecisionState, DecisionTopic, TrainingMethod
from services.feedback.decisions.evidence import evidence_of, rollouts_of
from services.feedback.decisions.faults import on_answers, on_template
from services.feedback.decisions.search import on_stall, on_trials, trained_spec
from services.feedback.decisions.training import on_probe, on_regression, wants_rollouts
from services.feedback.domain.rounds import Step, Stop, StopReason
from services.feedback.domain.work import ProbeVerdict, WorkProgress
from services.feedback.jobs.record import LoopRecord
from services.feedback.jobs.steps import RoundSteps, Services
from services.feedback.jobs.training import probe_evaluations
from services.feedback.ports.stores import LoopAnswers


class RoundDecisions:
    """The decisions of the round that a record is at; what it holds already is not decided again."""

    def __init__(
        self, services: Services, steps: RoundSteps, record: LoopRecord, answers: LoopAnswers, poll_seconds: float
    ) -> None:
        self._services = services
        self._steps = steps
        self._record = record
        self._answers = answers
        self._poll_seconds = poll_seconds

    async def on_template(self) -> Stop | None:
        """Say whether the loop ends before anything is tested, since the template cannot carry the protocol."""
        record = self._record
        is_tested = record.round.test_run_id and record.round.decision_on(DecisionTopic.TEMPLATE) is None
        if record.round.number or is_tested:
            return None
        return _stop_of(await self._settled(DecisionTopic.TEMPLATE, self._diagnosed))

    async def on_answers(self) -> Stop | None:
        """Say whether the loop ends after a test, since its answers show a fault that training cannot mend."""
        return _stop_of(await self._settled(DecisionTopic.ANSWERS, self._fault_in_answers))

    async def on_training(self, verdicts: Sequence[ProbeVerdict]) -> Decision:
        """Return what the round trains, by the verdicts on its probe."""
        known = self._record.round.decision_on(DecisionTopic.TRAINING)
        return await self._approved(known or await self._training(verdicts))

    async def on_trials(self, search: Decision) -> Decision:
        """Return what the round trains, by the trials of its search."""
        spec = trained_spec(self._record.spec, self._record.rounds, search.model_version_id)
        return await self._approved(on_trials(spec, search, self._record.round.trials))

    async def _settled(self, topic: DecisionTopic, decide: Callable[[], Awaitable[Decision | None]]) -> Decision | None:
        decision = self._record.round.decision_on(topic) or await decide()
        return await self._approved(decision) if decision else None

    async def _approved(self, decision: Decision) -> Decision:
        """Record a decision, and return what a person makes of it where the loop is to ask one."""
        record = self._record
        if not decision.number and record.spec.ask:
            decision = replace(decision, state=DecisionState.WAITING)
        decision = await record.decided(decision)
        if decision.state is not DecisionState.WAITING:
            return decision
        await record.report(Step.ASK, WorkProgress(message=f"decision {decision.number}: {decision.reason}"))
        change = None
        while change is None:
            await asyncio.sleep(self._poll_seconds)
            change = await self._answers.find(record.loop_id, decision.number)
        return await record.decided(*answered(decision, change))

    async def _diagnosed(self) -> Decision | None:
        record = self._record
        spec, suite, version_id = record.spec, record.inputs.suite, record.round.model_version_id
        await record.started(Step.DIAGNOSE, f"Whether the template of {version_id} can carry {suite.profile_id}.")
        await record.report(Step.DIAGNOSE, WorkProgress(message="asking the template doctor"))
        sizes: Any = {"prompt_size": spec.prompt_size, "max_new_tokens": spec.max_new_tokens}
        test_runner = self._services.test_runner
        faults = await patiently(
            lambda: test_runner.template_faults(version_id, suite.profile_id, **sizes), "the test runner"
        )
        message = f"{len(faults)} errors: {', '.join(fault.code for fault in faults)}." if faults else "No error."
        await record.finished(Step.DIAGNOSE, message)
        return on_template(version_id, suite.profile_id, faults)

    async def _fault_in_answers(self) -> Decision | None:
        tested = self._record.round
        evidence = evidence_of(await self._services.evaluator.verdicts(tested.evaluation_id))
        # Where a run was finished by another, that one has the tokens.
        costs = [cost for name, cost in tested.costs.items() if name.partition("-finish-")[0] == Step.TEST]
        return on_answers(
            tested.tested_model_version_id,
            evidence,
            is_trained_here=tested.number > 0,
            num_tokens=sum(cost.num_generated_tokens for cost in costs) if costs else None,
        )

    async def _training(self, verdicts: Sequence[ProbeVerdict]) -> Decision:
        record, evidence = self._record, evidence_of(verdicts)
        if stall := on_stall(record.spec, record.rounds, evidence):
            return await self._with_pairs(stall)
        num_pairs = await self._num_pairs() if record.spec.method is TrainingMethod.DPO else 0
        if regression := on_regression(record.spec, record.rounds, evidence, num_pairs):
            return await self._with_pairs(regression)
        rollouts = None
        if wants_rollouts(record.spec, evidence):
            rollouts = rollouts_of(await self._steps.sample(), await self._num_pairs())
        decision = on_probe(record.spec, record.round.trained_model_version_id, evidence, rollouts)
        return await self._with_pairs(decision)

    async def _with_pairs(self, decision: Decision) -> Decision:
        """Return a decision that tells a person, where one is asked, whether pairs could be trained instead."""
        if not self._record.spec.ask:
            return decision
        return replace(decision, figures={**decision.figures, "num_pairs": float(await self._num_pairs())})

    async def _num_pairs(self) -> int:
        exports = [await self._services.evaluator.pairs(each) for each in probe_evaluations(self._record.round)]
        return len(pairs_of(exports))


def _stop_of(decision: Decision | None) -> Stop | None:
    if decision is None or decision.action is not DecisionAction.STOP:
        return None
    return Stop(StopReason.TEMPLATE_FAULT, decision.reason, decision.next_step)
