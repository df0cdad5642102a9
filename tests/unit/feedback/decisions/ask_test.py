"""A loop that asks waits for a person before each step that a decision begins."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from drillyard.test_runner.v1 import diagnosis_pb2

from services.chassis.errors import Aborted, FailedPrecondition, InvalidArgument
from services.chassis.jobs import JobState
from services.feedback.decisions.decision import (
    DECISION_EVENT,
    PERSON,
    Decision,
    DecisionAction,
    DecisionChange,
    DecisionState,
    TrainingMethod,
)
from services.feedback.domain.loop import Loop
from services.feedback.domain.rounds import StopReason
from services.feedback.domain.spec import Budget
from tests.machine import PATIENCE_SECONDS
from tests.unit.feedback.bench import SPEC, Bench, set_up

ASKED = replace(SPEC, ask=True, budget=Budget(2, 10, plateau_rounds=2))
APPROVAL = DecisionChange(None, {}, 0, None, go_on=False)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with set_up(tmp_path) as made:
        made.world.evaluator.judgement.rates |= {"tiny@1": 0.1, "tiny@2": 0.9}
        yield made


async def waiting(bench: Bench, loop: Loop) -> Decision:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _ in bench.store.watch(loop.loop_id, 0):
            decision = (await bench.store.get(loop.loop_id)).waiting_decision
            if decision is not None:
                return decision
    raise AssertionError("the loop has ended")


async def test_nothing_is_begun_until_a_person_approves_and_the_wait_costs_no_minutes(bench: Bench) -> None:
    hours = 0.0
    bench.clock = lambda: time.monotonic() + 3600 * hours
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", ASKED)
        decision = await waiting(bench, loop)
        assert decision.rule == "format_failures" and decision.state is DecisionState.WAITING
        assert (await bench.world.made())["0/dataset"] == 0
        hours = 5.0
        await bench.usecases.decide_loop(loop.loop_id, decision.number, APPROVAL)
        loop = await bench.until_ended(loop.loop_id)
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    assert [each.state for each in loop.rounds[0].decisions] == [DecisionState.APPROVED]
    assert (loop.job.saved or {})["seconds"] < 3600
    events = await bench.store.jobs.events(loop.loop_id, 0, 1000)
    assert [event.payload["state"] for event in events if event.type == DECISION_EVENT] == ["waiting", "approved"]


async def test_a_person_may_train_in_another_way(bench: Bench) -> None:
    change = DecisionChange(TrainingMethod.DPO, {"dpo": {"beta": 0.3}, "batch_size": 2}, 0, None, go_on=False)
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", ASKED)
        await waiting(bench, loop)
        with pytest.raises(InvalidArgument, match=r"training\.dpo is for DPO, and this trains by SFT"):
            await bench.usecases.decide_loop(loop.loop_id, 0, replace(change, method=None))
        await bench.usecases.decide_loop(loop.loop_id, 0, change)
        loop = await bench.until_ended(loop.loop_id)
    first, own = loop.rounds[0].decisions
    assert (first.state, own.state, own.rule, own.number) == (
        DecisionState.OVERRULED,
        DecisionState.APPROVED,
        PERSON,
        first.number + 1,
    )
    spec = (await bench.world.trainer.jobs.store.get(loop.rounds[0].training_job_id)).spec
    assert (spec["method"], spec["dpo"], spec["batch_size"]) == ("TRAINING_METHOD_DPO", {"beta": 0.3}, 2)
    assert spec["learning_rate"] == 5e-5


async def test_a_stop_can_be_overruled(bench: Bench) -> None:
    severity = diagnosis_pb2.SEVERITY_ERROR
    bench.evidence.findings = [diagnosis_pb2.Finding(code="bos_twice", severity=severity, problem="Two.", fix="One.")]
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", ASKED)
        assert (await waiting(bench, loop)).action is DecisionAction.STOP
        with pytest.raises(InvalidArgument, match="go_on"):
            await bench.usecases.decide_loop(loop.loop_id, 0, replace(APPROVAL, num_examples=9))
        with pytest.raises(InvalidArgument, match="go_on"):
            await bench.usecases.decide_loop(loop.loop_id, 0, replace(APPROVAL, num_examples=9, go_on=True))
        await bench.usecases.decide_loop(loop.loop_id, 0, replace(APPROVAL, go_on=True))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await waiting(bench, loop)).number < 3:
                await asyncio.sleep(0.01)
        await bench.usecases.decide_loop(loop.loop_id, 3, APPROVAL)
        loop = await bench.until_ended(loop.loop_id)
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    actions = [decision.action for decision in loop.rounds[0].decisions]
    assert actions == [DecisionAction.STOP, DecisionAction.GO_ON, DecisionAction.TRAIN]


async def test_a_process_that_dies_while_it_waits_loses_and_doubles_nothing(bench: Bench) -> None:
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", ASKED)
        await waiting(bench, loop)
    # Answered while nobody works on the loop.
    await bench.usecases.decide_loop(loop.loop_id, 0, APPROVAL)
    async with bench.at_work():
        loop = await bench.until_ended(loop.loop_id)
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    assert set((await bench.world.made()).values()) == {1}
    events = await bench.store.jobs.events(loop.loop_id, 0, 1000)
    told = Counter(event.payload["state"] for event in events if event.type == DECISION_EVENT)
    assert told == {"waiting": 1, "approved": 1}


async def test_a_loop_that_waits_for_a_person_holds_no_place_of_those_that_run(bench: Bench) -> None:
    async with bench.at_work():
        asking = await bench.usecases.create_loop("", ASKED)
        await waiting(bench, asking)
        # The bench lets one loop run at a time.
        loop = await bench.play_beside(SPEC)
        assert loop.stop is not None and (await bench.store.get(asking.loop_id)).waiting_decision is not None


async def test_a_loop_that_waits_can_be_cancelled(bench: Bench) -> None:
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", ASKED)
        await waiting(bench, loop)
        await bench.store.cancel(loop.loop_id)
        loop = await bench.until_ended(loop.loop_id)
    assert loop.job.state is JobState.CANCELLED
    with pytest.raises(FailedPrecondition, match="does not wait"):
        await bench.usecases.decide_loop(loop.loop_id, 0, APPROVAL)


async def test_answers_that_do_not_fit_are_refused(bench: Bench) -> None:
    bench.world.evaluator.judgement.other_cause = "no_call"
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", ASKED)
        decision = await waiting(bench, loop)
        for change, words in (
            (replace(APPROVAL, go_on=True), "go_on is for decisions to stop"),
            (replace(APPROVAL, training={"seed": 3}), "training.seed is set by the loop"),
        ):
            with pytest.raises(InvalidArgument, match=words):
                await bench.usecases.decide_loop(loop.loop_id, 0, change)
        with pytest.raises(Aborted, match=r"decision 9, and .* waits with decision 1 now"):
            await bench.usecases.decide_loop(loop.loop_id, 9, APPROVAL)
        bench.store.answers[loop.loop_id, decision.number] = replace(APPROVAL, num_examples=7)  # type: ignore[index]
        with pytest.raises(FailedPrecondition, match="answered before"):
            await bench.usecases.decide_loop(loop.loop_id, 0, APPROVAL)
