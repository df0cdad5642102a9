"""What a loop would do is said by the rules that decide when it runs, and nothing is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from drillyard.feedback.v1 import loop_plan_pb2
from drillyard.test_runner.v1 import diagnosis_pb2

from services.chassis.errors import InvalidArgument
from services.chassis.wire import to_message
from services.feedback.decisions.plan import plan_of
from services.feedback.domain.guardrails import Guardrail
from services.feedback.domain.spec import Budget
from services.feedback.usecases.plans import PlanUseCases
from tests.unit.feedback.bench import SPEC, Bench, set_up

SUITE = "roo_xml/core@1"
ROUNDS = replace(
    SPEC, budget=Budget(2, 30, plateau_rounds=2), num_examples=400, training={"batch_size": 8, "num_epochs": 2}
)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with set_up(tmp_path) as made:
        yield made


def plans(bench: Bench) -> PlanUseCases:
    return PlanUseCases(bench.usecases, bench.store, bench.services.test_runner)


def test_a_plan_counts_what_is_done_and_asks_the_rules_what_would_be_trained() -> None:
    spec = replace(ROUNDS, guardrails=(Guardrail("text/smoke@1", "conforming_rate", 0.01, 0.0, ""),))
    plan = plan_of(spec, None, {SUITE: 130, "text/smoke@1": 12}, {})
    first = [(str(step.step), step.message) for step in plan.first_steps]
    assert first[1:] == [("test", f"130 cases of {SUITE}"), ("guardrail", "12 cases of text/smoke@1")]
    assert [step.message for step in plan.round_steps[:3]] == [
        "39 cases of the training material",
        "400 rows",
        "100 steps of 8 rows",
    ]
    trained = [(each.decision.rule, str(each.decision.method)) for each in plan.decisions]
    assert trained == [("format_failures", "sft"), ("mixed_rollouts", "dpo"), ("equal_rollouts", "sft")]
    assert plan.seconds == 0 and "no like loop was measured" in plan.sentence
    assert [each.decision.rule for each in plan_of(SPEC_ONCE, None, {SUITE: 1}, {}).decisions] == [
        "format_failures",
        "near_misses",
    ]


SPEC_ONCE = replace(ROUNDS, budget=Budget(1, 0))


def test_times_that_were_measured_add_up_over_all_rounds() -> None:
    seconds = {"test": 60.0, "probe": 20.0, "dataset": 1.0, "train": 120.0}
    plan = plan_of(ROUNDS, None, {SUITE: 130}, seconds)
    assert plan.seconds == 60 + 2 * (20 + 1 + 120 + 60)
    assert "about 8 minutes by what was measured before" in plan.sentence


async def test_a_plan_starts_nothing_and_knows_how_long_its_like_took(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates |= {"tiny@2": 0.9}
    unmeasured = await plans(bench).plan_loop(SPEC)
    assert await bench.world.made() == Counter() and await bench.store.list() == ([], "")
    assert unmeasured.spec.model_version_id == "tiny@1" and not unmeasured.seconds
    await bench.play()
    made = await bench.world.made()
    plan = await plans(bench).plan_loop(SPEC)
    assert plan.seconds > 0 and all(step.seconds > 0 for step in plan.round_steps)
    assert await bench.world.made() == made
    message = to_message(plan, loop_plan_pb2.LoopPlan)
    assert message.decisions[0].decision.rule == "format_failures" and not message.HasField("stop")


async def test_a_plan_says_that_the_template_would_stop_the_loop_and_refuses_what_a_loop_refuses(bench: Bench) -> None:
    fault = diagnosis_pb2.Finding(code="bos_twice", severity=diagnosis_pb2.SEVERITY_ERROR, problem="Two.", fix="One.")
    bench.evidence.findings = [fault]
    plan = await plans(bench).plan_loop(SPEC)
    assert plan.stop is not None and plan.sentence.startswith("It would stop at once: The template")
    with pytest.raises(InvalidArgument):
        await plans(bench).plan_loop(replace(SPEC, prompt_size="bare?"))
