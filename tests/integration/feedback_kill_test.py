"""SIGKILL in every step of a loop: it ends all the same, and nothing is made twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drillyard.feedback.v1 import (
    feedback_file_pb2,
    feedback_item_pb2,
    feedback_service_pb2_grpc,
    loop_goal_pb2,
    loop_pb2,
    loop_phase_pb2,
    schedule_pb2,
    scheduled_run_pb2,
)
from drillyard.feedback.v1.loop_answer_pb2 import DecideLoopRequest
from drillyard.feedback.v1.loop_decision_pb2 import DecisionState
from drillyard.registry.v1.artifact_pb2 import Artifact

from services.chassis.artifacts import ArtifactStore
from services.chassis.channel import open_channel
from services.feedback.convert.items import line_of
from services.feedback.domain.identifiers import derived_id
from services.feedback.domain.item import Content, FeedbackKind, Item, Rating, Subject
from services.feedback.domain.schedules.scheduled_run import run_by_hand
from tests.fakes.neighbours.world import World
from tests.integration.processes import ServiceProcess, start_service
from tests.machine import PATIENCE_SECONDS
from tests.unit.feedback.decisions.evidence import Evidence

GUARDRAIL_0 = ("0/guardrail-0", "0/guardrail-0-evaluate")
ROUND_0 = ("0/test", "0/evaluate", "0/probe_suite", "0/probe", "0/probe_evaluate", "0/dataset", "0/train", *GUARDRAIL_0)
ROUND_1 = ("1/test", "1/evaluate", "1/guardrail-0", "1/guardrail-0-evaluate")

# "answer": the neighbour has made the thing and the loop does not know it yet. "watch": the loop waits for its end.
POINTS = [
    *("0/test:answer", "0/evaluate:answer", "0/test:watch", "0/evaluate:watch"),
    *(f"{name}:{point}" for point in ("answer", "watch") for name in GUARDRAIL_0),
    *("0/probe_suite:answer", "0/probe:answer", "0/probe_evaluate:answer", "0/probe:watch", "0/probe_evaluate:watch"),
    *("0/dataset:answer", "0/train:answer", "0/train:watch"),
    *("1/test:answer", "1/evaluate:watch", "1/guardrail-0:answer"),
]
SPEC = loop_pb2.LoopSpec(
    model_version_id="tiny",
    test_suite_version_id="roo_xml/core@1",
    goals=[loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.8)],
    guardrails=[loop_goal_pb2.Guardrail(test_suite_version_id="text/smoke@1")],
    num_examples=26,
    seed=7,
)


@contextmanager
def feedback(data_dir: Path, port: int) -> Iterator[ServiceProcess]:
    names = ("registry", "test_runner", "evaluator", "trainer")
    addresses = {f"{name}_address": f"127.0.0.1:{port}" for name in names}
    # A slow machine may do nothing of a job between two kills, and that is not to fail it.
    with start_service("feedback", data_dir, max_deaths=100, **addresses) as process:
        yield process


async def start_loop(address: str, spec: loop_pb2.LoopSpec = SPEC) -> str:
    channel = open_channel(address)
    stub: feedback_service_pb2_grpc.FeedbackServiceAsyncStub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
    created = await stub.CreateLoop(loop_pb2.CreateLoopRequest(request_id="kill", spec=spec))
    await channel.close()
    return created.loop.loop_id


async def wait_for_end(address: str, loop_id: str) -> tuple[loop_pb2.Loop, list[loop_phase_pb2.RoundStep]]:
    channel = open_channel(address)
    stub: feedback_service_pb2_grpc.FeedbackServiceAsyncStub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
    events = stub.WatchLoop(loop_pb2.WatchLoopRequest(loop_id=loop_id))
    steps = [response.step async for response in events if response.HasField("step")]
    loop = (await stub.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id))).loop
    await channel.close()
    return loop, steps


async def test_a_loop_that_is_killed_in_every_step_ends_and_doubles_nothing(tmp_path: Path) -> None:
    world = World()
    Evidence(world)
    world.evaluator.judgement.rates |= {"tiny@1": 0.1, "tiny@2": 0.9}
    gates = [world.gates.close(point) for point in POINTS]
    works = [world.gates.close(point.replace(":watch", ":work")) for point in POINTS]
    async with world.at_work(), world.served() as port:
        loop_id = ""
        for gate, work in zip(gates, works, strict=True):
            with feedback(tmp_path, port) as process:
                loop_id = loop_id or await start_loop(process.address)
                await gate.arrival()
                process.kill()
            gate.open()
            work.open()
        with feedback(tmp_path, port) as process:
            loop, steps = await asyncio.wait_for(wait_for_end(process.address, loop_id), PATIENCE_SECONDS)
    assert loop.stop_reason == loop_pb2.STOP_REASON_GOALS_MET
    assert loop.job.attempt == len(POINTS) + 1
    assert await world.made() == Counter(ROUND_0 + ROUND_1)
    assert world.registry.models.numbers == {"tiny": 2}
    told = Counter((step.round, step.step, step.state) for step in steps)
    # The diagnosis is a step too.
    assert set(told.values()) == {1} and len(told) == 2 * (1 + 3 + 7)


async def test_an_accepted_loop_survives_a_kill_that_comes_at_once(tmp_path: Path) -> None:
    world = World()
    Evidence(world)
    world.evaluator.judgement.rates["tiny@1"] = 0.9
    async with world.at_work(), world.served() as port:
        with feedback(tmp_path, port) as process:
            loop_id = await start_loop(process.address)
            process.kill()
        with feedback(tmp_path, port) as process:
            assert await start_loop(process.address) == loop_id
            loop, _ = await asyncio.wait_for(wait_for_end(process.address, loop_id), PATIENCE_SECONDS)
    assert loop.stop_reason == loop_pb2.STOP_REASON_GOALS_MET
    assert await world.made() == Counter(["0/test", "0/evaluate", *GUARDRAIL_0])


# "ask": it waits for a person, who answers when it is back.
ASKED = ["0/sample:answer", "0/sample:watch", "ask", "0/train:answer", "1/probe:answer", "ask", "1/train:watch"]


async def asked(address: str, loop_id: str, *, answers: bool) -> None:
    """Return once a loop waits for a person, or has been told to go on."""
    channel = open_channel(address)
    stub: feedback_service_pb2_grpc.FeedbackServiceAsyncStub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
    async with asyncio.timeout(PATIENCE_SECONDS):
        is_waiting = False
        while not is_waiting:
            loop = (await stub.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id))).loop
            decisions = [decision for item in loop.rounds for decision in item.decisions]
            is_waiting = bool(decisions) and decisions[-1].state == DecisionState.DECISION_STATE_WAITING
            await asyncio.sleep(0.05)
    if answers:
        await stub.DecideLoop(DecideLoopRequest(loop_id=loop_id, number=decisions[-1].number))
    await channel.close()


async def test_a_round_of_preferences_and_one_that_goes_back_double_nothing_when_killed(tmp_path: Path) -> None:
    world = World()
    Evidence(world, is_mixed=True)
    world.evaluator.judgement.other_cause = "wrong_arguments"
    world.evaluator.judgement.rates |= {"tiny@1": 0.4, "tiny@2": 0.1, "tiny@3": 0.99}
    spec = loop_pb2.LoopSpec(ask=True, budget=loop_goal_pb2.Budget(max_rounds=2))
    spec.MergeFrom(SPEC)
    spec.ClearField("guardrails")
    gates = {point: world.gates.close(point) for point in ASKED}
    works = {point: world.gates.close(point.replace(":watch", ":work")) for point in ASKED}
    async with world.at_work(), world.served() as port:
        loop_id, is_asked = "", False
        for point in ASKED:
            with feedback(tmp_path, port) as process:
                loop_id = loop_id or await start_loop(process.address, spec)
                if is_asked:
                    await asked(process.address, loop_id, answers=True)
                is_asked = point == "ask"
                await (asked(process.address, loop_id, answers=False) if is_asked else gates[point].arrival())
                process.kill()
            gates[point].open()
            works[point].open()
        with feedback(tmp_path, port) as process:
            loop, _ = await asyncio.wait_for(wait_for_end(process.address, loop_id), PATIENCE_SECONDS)
    assert loop.stop_reason == loop_pb2.STOP_REASON_GOALS_MET, loop.job
    steps = ("test", "evaluate", "probe_suite", "probe", "probe_evaluate", "dataset", "train")
    expected = [f"{number}/{step}" for number in (0, 1) for step in steps]
    assert await world.made() == Counter([*expected, "0/sample", "0/sample_evaluate", "2/test", "2/evaluate"])
    decisions = [decision for item in loop.rounds for decision in item.decisions]
    assert [(each.number, each.rule) for each in decisions] == [(1, "mixed_rollouts"), (2, "regression")]
    assert {each.state for each in decisions} == {DecisionState.DECISION_STATE_APPROVED}


# A round of GRPO, one whose settings are searched for, and the alias of the candidate.
SEARCHED = ["0/train:answer", "1/search-2:answer", "1/search-5:watch", "alias:answer"]


async def test_a_round_of_grpo_a_search_and_the_alias_double_nothing_when_killed(tmp_path: Path) -> None:
    world = World()
    evidence = Evidence(world, is_mixed=True)
    world.evaluator.judgement.other_cause = "wrong_arguments"
    world.evaluator.judgement.rates |= {"tiny@1": 0.4, "tiny@2": 0.42, "tiny@3": 0.99}
    budget = loop_goal_pb2.Budget(max_rounds=2)
    spec = loop_pb2.LoopSpec(mixed_method="TRAINING_METHOD_GRPO", budget=budget, candidate_alias="candidate")
    spec.MergeFrom(SPEC)
    spec.ClearField("guardrails")
    gates = [world.gates.close(point) for point in SEARCHED]
    works = [world.gates.close(point.replace(":watch", ":work")) for point in SEARCHED]
    async with world.at_work(), world.served() as port:
        loop_id = ""
        for gate, work in zip(gates, works, strict=True):
            with feedback(tmp_path, port) as process:
                loop_id = loop_id or await start_loop(process.address, spec)
                await gate.arrival()
                process.kill()
            gate.open()
            work.open()
        with feedback(tmp_path, port) as process:
            loop, _ = await asyncio.wait_for(wait_for_end(process.address, loop_id), PATIENCE_SECONDS)
    assert loop.stop_reason == loop_pb2.STOP_REASON_GOALS_MET, loop.job
    steps = ("test", "evaluate", "probe_suite", "probe", "probe_evaluate", "dataset", "train")
    expected = [f"{number}/{step}" for number in (0, 1) for step in steps]
    searched = [f"1/search-{number}" for number in range(1, 7)]
    drawn = ["0/sample", "0/sample_evaluate", "2/test", "2/evaluate"]
    assert await world.made() == Counter([*expected, *searched, *drawn])
    rules = [decision.rule for item in loop.rounds for decision in item.decisions]
    assert rules == ["mixed_rollouts", "data_no_longer_helps", "search"]
    methods = [
        (await world.trainer.jobs.store.get(item.training_job_id)).spec.get("method") for item in loop.rounds[:2]
    ]
    assert methods == ["TRAINING_METHOD_GRPO", None]
    assert evidence.aliases["tiny:candidate"].revision == 1


# Judging begins as soon as the run does.
WATCHED = ["test_run:answer", "evaluation:answer", "test_run:watch", "evaluation:watch"]
NUM_ITEMS = 1200


async def import_in(data_dir: Path) -> feedback_file_pb2.CreateFeedbackImportRequest:
    """Return the request to import many items, on answers that no other service has to look up."""
    messages = ({"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Bye."})
    author, now = "ann", datetime(2026, 1, 1, tzinfo=UTC)
    items = (
        Item(f"item-{number}", FeedbackKind.RATING, author, now, Subject(), Content(messages), rating=Rating(1))
        for number in range(NUM_ITEMS)
    )
    artifacts = ArtifactStore((data_dir / "feedback" / "artifacts").as_uri())
    kept = await artifacts.put_bytes(b"".join(map(line_of, items)))
    artifact = Artifact(uri=kept.uri, digest=kept.digest, size_bytes=kept.size_bytes)
    return feedback_file_pb2.CreateFeedbackImportRequest(request_id="kill", artifact=artifact)


async def test_a_due_time_and_an_import_that_are_killed_anywhere_end_and_double_nothing(tmp_path: Path) -> None:
    world = World()
    Evidence(world)
    world.evaluator.judgement.rates["tiny@1"] = 0.9
    watched = schedule_pb2.ScheduleSpec(
        model_version_id="tiny@1", test_suite_version_id="roo_xml/core@1", goals=SPEC.goals, every_hours=24
    )
    schedule_id, import_id = derived_id("schedule", "kill"), ""
    run_id = run_by_hand(schedule_id, "kill", datetime.now(UTC)).scheduled_run_id
    gates = [world.gates.close(f"{run_id}/{point}") for point in WATCHED]
    works = [world.gates.close(f"{run_id}/{point.replace(':watch', ':work')}") for point in WATCHED]
    creation = schedule_pb2.CreateScheduleRequest(request_id="kill", spec=watched)
    order = scheduled_run_pb2.RunScheduleRequest(request_id="kill", schedule_id=schedule_id)
    async with world.at_work(), world.served() as port:
        for number in range(len(WATCHED) + 1):
            with feedback(tmp_path, port) as process:
                channel = open_channel(process.address)
                stub: Any = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
                await stub.CreateSchedule(creation)
                assert (await stub.RunSchedule(order)).scheduled_run.scheduled_run_id == run_id
                created = (await stub.CreateFeedbackImport(await import_in(tmp_path))).feedback_import
                assert import_id in ("", created.feedback_import_id)
                import_id = created.feedback_import_id
                if number == len(WATCHED):
                    await until_both_have_ended(stub, run_id, import_id)
                else:
                    await gates[number].arrival()
                await channel.close()
                process.kill()
            for gate in [*gates[number : number + 1], *works[number : number + 1]]:
                gate.open()
    assert await world.made() == Counter([f"{run_id}/test_run", f"{run_id}/evaluation"])


async def until_both_have_ended(stub: Any, run_id: str, import_id: str) -> None:
    """Return once a run and an import have ended as they should."""
    async for _ in stub.WatchFeedbackImport(feedback_file_pb2.WatchFeedbackImportRequest(feedback_import_id=import_id)):
        pass
    made = await stub.GetFeedbackImport(feedback_file_pb2.GetFeedbackImportRequest(feedback_import_id=import_id))
    assert (made.feedback_import.num_imported, made.feedback_import.num_known) == (NUM_ITEMS, 0)
    listed = await stub.ListFeedbackItems(feedback_item_pb2.ListFeedbackItemsRequest(page_size=1))
    assert listed.total_size == NUM_ITEMS
    outcome = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not outcome:
            await asyncio.sleep(0.1)
            request = scheduled_run_pb2.GetScheduledRunRequest(scheduled_run_id=run_id)
            outcome = (await stub.GetScheduledRun(request)).scheduled_run.outcome
    assert outcome == scheduled_run_pb2.SCHEDULED_RUN_OUTCOME_MET
