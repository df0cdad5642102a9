"""Decides what a round does next: gathers what the rules look at, and stores each decision before it is carried out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from services.feedback.datasets.pairs import pairs_of
from services.feedback.decisions.decision import Decision, DecisionAction, DecisionTopic
from services.feedback.decisions.evidence import Rollouts, evidence_of, rollouts_of
from services.feedback.decisions.faults import on_answers, on_template
from services.feedback.decisions.training import on_probe, on_regression, wants_rollouts
from services.feedback.domain.rounds import Step, Stop, StopReason
from services.feedback.domain.work import ProbeVerdict, WorkProgress
from services.feedback.jobs.record import LoopRecord
from services.feedback.jobs.steps import RoundSteps, Services
from services.feedback.jobs.training import probe_evaluations


class RoundDecisions:
    """The decisions of the round that a record is at; what it holds already is not decided again."""

    def __init__(self, services: Services, steps: RoundSteps, record: LoopRecord) -> None:
        self._services = services
        self._steps = steps
        self._record = record

    async def on_template(self) -> Stop | None:
        """Say whether the loop ends before anything is tested, since the template cannot carry the protocol."""
        record = self._record
        is_tested = record.round.test_run_id and record.round.decision_on(DecisionTopic.TEMPLATE) is None
        if record.round.number or is_tested:
            return None
        return _stop_of(await self._settled(DecisionTopic.TEMPLATE, self._diagnosed))

    async def on_answers(self) -> Stop | None:
        """Say whether the loop ends after a test, since its answers show a fault that training cannot mend."""
        return _stop_of(await self._settled(DecisionTopic.ANSWERS, self._answers))

    async def on_training(self, verdicts: Sequence[ProbeVerdict]) -> Decision:
        """Return what the round trains, by the verdicts on its probe."""
        record = self._record
        known = record.round.decision_on(DecisionTopic.TRAINING)
        return await record.decided(known or await self._training(verdicts))

    async def _settled(self, topic: DecisionTopic, decide: Callable[[], Awaitable[Decision | None]]) -> Decision | None:
        record = self._record
        decision = record.round.decision_on(topic) or await decide()
        return await record.decided(decision) if decision else None

    async def _diagnosed(self) -> Decision | None:
        record = self._record
        spec, suite, version_id = record.spec, record.inputs.suite, record.round.model_version_id
        await record.started(Step.DIAGNOSE, f"Whether the template of {version_id} can carry {suite.profile_id}.")
        await record.report(Step.DIAGNOSE, WorkProgress(message="asking the template doctor"))
        faults = await self._services.test_runner.template_faults(
            version_id, suite.profile_id, prompt_size=spec.prompt_size, max_new_tokens=spec.max_new_tokens
        )
        message = f"{len(faults)} errors: {', '.join(fault.code for fault in faults)}." if faults else "No error."
        await record.finished(Step.DIAGNOSE, message)
        return on_template(version_id, suite.profile_id, faults)

    async def _answers(self) -> Decision | None:
        tested = self._record.round
        evidence = evidence_of(await self._services.evaluator.verdicts(tested.evaluation_id))
        return on_answers(tested.tested_model_version_id, evidence, is_trained_here=tested.number > 0)

    async def _training(self, verdicts: Sequence[ProbeVerdict]) -> Decision:
        record, evidence = self._record, evidence_of(verdicts)
        if regression := on_regression(record.spec, record.rounds, evidence):
            return regression
        rollouts = await self._rollouts() if wants_rollouts(record.spec, evidence) else None
        return on_probe(record.spec, record.round.trained_model_version_id, evidence, rollouts)

    async def _rollouts(self) -> Rollouts:
        verdicts = await self._steps.sample()
        exports = [await self._services.evaluator.pairs(each) for each in probe_evaluations(self._record.round)]
        return rollouts_of(verdicts, len(pairs_of(exports)))


def _stop_of(decision: Decision | None) -> Stop | None:
    if decision is None or decision.action is not DecisionAction.STOP:
        return None
    return Stop(StopReason.TEMPLATE_FAULT, decision.reason, decision.next_step)
