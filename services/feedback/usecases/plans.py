"""What a caller may ask of a loop before there is one."""

from __future__ import annotations

from dataclasses import replace

from services.feedback.decisions.faults import on_template
from services.feedback.decisions.plan import LoopPlan, plan_of
from services.feedback.domain.loop import Inputs
from services.feedback.domain.rounds import Step
from services.feedback.domain.spec import LoopSpec
from services.feedback.ports.neighbours import TestRunner
from services.feedback.ports.stores import LoopStore
from services.feedback.usecases.jobs import FeedbackUseCases

# Of loops of the same model on the same suite, the newest; older ones had other machines and releases.
_NUM_LOOKED_AT = 50


class PlanUseCases:
    """Says what a loop would do; starts nothing."""

    def __init__(self, usecases: FeedbackUseCases, store: LoopStore, test_runner: TestRunner) -> None:
        self._usecases = usecases
        self._store = store
        self._test_runner = test_runner

    async def plan_loop(self, spec: LoopSpec) -> LoopPlan:
        """Return what a loop would do, by the rules that would decide.

        Raises:
            ServiceError: As from the creation of a loop with that spec.
        """
        spec, inputs = await self._usecases.prepared_loop(spec)
        guardrails = tuple(
            replace(guardrail, test_suite_version_id=suite.test_suite_version_id)
            for guardrail, suite in zip(spec.guardrails, inputs.guardrail_suites, strict=True)
        )
        spec = replace(
            spec,
            model_version_id=inputs.model_version_id,
            test_suite_version_id=inputs.suite.test_suite_version_id,
            guardrails=guardrails,
        )
        faults = await self._test_runner.template_faults(
            inputs.model_version_id,
            inputs.suite.profile_id,
            prompt_size=spec.prompt_size,
            max_new_tokens=spec.max_new_tokens,
        )
        suites = (inputs.suite, *inputs.guardrail_suites)
        sizes = {suite.test_suite_version_id: suite.num_cases for suite in suites}
        stop = on_template(inputs.model_version_id, inputs.suite.profile_id, faults)
        return plan_of(spec, stop, sizes, await self._seconds(spec, inputs))

    async def _seconds(self, spec: LoopSpec, inputs: Inputs) -> dict[str, float]:
        """Return how long each step would take, by the newest loop of the same model on the same suite."""
        loops, _ = await self._store.list(_NUM_LOOKED_AT, "")
        name = inputs.model_version_id.rpartition("@")[0]
        suite_id = inputs.suite.test_suite_version_id
        for loop in loops:
            like = loop.inputs
            is_like = like.suite.test_suite_version_id == suite_id and like.model_version_id.rpartition("@")[0] == name
            if is_like and (seconds := await self._store.step_seconds(loop.loop_id)):
                scale = {
                    Step.TEST: spec.num_repeats / loop.asked.num_repeats,
                    Step.PROBE: spec.num_probe_cases / loop.asked.num_probe_cases,
                    Step.TRAIN: _num_trained(spec) / _num_trained(loop.asked),
                }
                return {step: value * scale.get(Step(step), 1.0) for step, value in seconds.items()}
        return {}


def _num_trained(spec: LoopSpec) -> float:
    return spec.num_examples * float(spec.training.get("num_epochs", 1))
