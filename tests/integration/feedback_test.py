"""The feedback service as a real process, driven by gRPC; the other four services are fakes on loopback."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
import pytest_asyncio
from drillyard.feedback.v1 import (
    feedback_service_pb2_grpc,
    loop_goal_pb2,
    loop_pb2,
    schedule_pb2,
    scheduled_run_pb2,
)
from drillyard.job.v1 import job_pb2

from services.chassis.channel import open_channel
from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tests.fakes.neighbours.world import Judgement, World
from tests.integration.processes import ServiceProcess, start_service
from tests.machine import PATIENCE_SECONDS
from tests.unit.feedback.decisions.evidence import Evidence

# Of CPU time, so that what else runs on the machine does not count.
MOST_START_SECONDS = 4.0
MOST_MEMORY_BYTES = 150e6


@dataclass
class Site:
    """A running service, its stub and its neighbours."""

    process: ServiceProcess
    stub: feedback_service_pb2_grpc.FeedbackServiceAsyncStub
    world: World

    async def create(self, request_id: str = "", **changes: Any) -> loop_pb2.Loop:
        request = loop_pb2.CreateLoopRequest(request_id=request_id, spec=spec(**changes))
        return (await self.stub.CreateLoop(request)).loop

    async def get(self, loop_id: str) -> loop_pb2.Loop:
        return (await self.stub.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id))).loop

    async def loop_ids(self) -> list[str]:
        return [loop.loop_id for loop in (await self.stub.ListLoops(loop_pb2.ListLoopsRequest())).loops]

    async def events(self, loop_id: str, after_sequence: int = 0) -> list[loop_pb2.WatchLoopResponse]:
        request = loop_pb2.WatchLoopRequest(loop_id=loop_id, after_sequence=after_sequence)
        return [response async for response in self.stub.WatchLoop(request)]


def spec(**changes: Any) -> loop_pb2.LoopSpec:
    goals = changes.pop("goals", [loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.8)])
    values: dict[str, Any] = {
        "model_version_id": "tiny@1",
        "test_suite_version_id": "roo_xml/core@1",
        "num_examples": 26,
        "seed": 7,
    }
    return loop_pb2.LoopSpec(**{**values, **changes}, goals=goals)


def metrics_of(process: ServiceProcess) -> str:
    with urlopen(f"http://{process.metrics_address}/metrics", timeout=PATIENCE_SECONDS) as response:
        return str(response.read().decode())


@asynccontextmanager
async def open_site(data_dir: Path) -> AsyncIterator[Site]:
    world = World()
    Evidence(world)
    async with world.at_work(), world.served() as port:
        names = ("registry", "test_runner", "evaluator", "trainer")
        addresses = {f"{name}_address": f"127.0.0.1:{port}" for name in names}
        with start_service("feedback", data_dir, **addresses) as process:
            channel = open_channel(process.address)
            yield Site(process, feedback_service_pb2_grpc.FeedbackServiceStub(channel), world)
            await channel.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The running service, with neighbours that find and hold nothing yet."""
    shared_site.world.gates.open_all()
    shared_site.world.evaluator.judgement = Judgement()
    return shared_site


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_loop_improves_a_model_and_tells_all_of_it(site: Site) -> None:
    site.world.evaluator.judgement.rates |= {"tiny@1": 0.05, "tiny@2": 0.95}
    created = await site.create(model_version_id="tiny")
    events = await site.events(created.loop_id)
    loop = await site.get(created.loop_id)
    assert loop.stop_reason == loop_pb2.STOP_REASON_GOALS_MET
    reached = "the conforming rate is 95.0% (89.8% to 97.6% at 95% confidence, goal 80.0%)"
    assert loop.stop_sentence == f"All goals are met after round 1: {reached}."
    assert loop.best_model_version_id == "tiny@2"
    assert (loop.spec.model_version_id, loop.spec.test_suite_version_id) == ("tiny@1", "roo_xml/core@1")
    assert [made.conforming_rate for made in loop.rounds] == [0.05, 0.95]
    assert [made.model_version_id for made in loop.rounds] == ["tiny@1", "tiny@2"]
    assert [item.event.sequence for item in events] == list(range(1, len(events) + 1))
    steps = [item.step for item in events if item.HasField("step")]
    finished = [(step.round, step.step) for step in steps if step.state == "finished"]
    taught = ["probe", "probe_evaluate", "dataset", "train"]
    assert finished == [
        *((0, step) for step in ["diagnose", "test", "evaluate", *taught]),
        *((1, step) for step in ["test", "evaluate"]),
    ]
    assert events[-1].event.state.state == job_pb2.JOB_STATE_SUCCEEDED
    assert await site.events(created.loop_id, after_sequence=len(events) - 1) == events[-1:]


async def test_a_loop_that_waits_is_never_silent(site: Site) -> None:
    gate = site.world.gates.close("0/test:work")
    loop = await site.create()
    heard = 0
    async for _ in site.stub.WatchLoop(loop_pb2.WatchLoopRequest(loop_id=loop.loop_id)):
        heard += 1
        if heard == 8:
            gate.open()
    assert heard > 8


async def test_a_request_id_gives_one_loop_and_refuses_another_body(site: Site) -> None:
    site.world.evaluator.judgement.rates["tiny@1"] = 1.0
    before = await site.loop_ids()
    first, again = [await site.create("same") for _ in range(2)]
    assert first.loop_id == again.loop_id
    with pytest.raises(AlreadyExists, match=r"spec\.seed"):
        await site.create("same", seed=8)
    assert await site.loop_ids() == [first.loop_id, *before]


async def test_a_cancelled_loop_cancels_its_test_run(site: Site) -> None:
    gate = site.world.gates.close("0/test:work")
    loop = await site.create()
    await gate.arrival()
    # The run works before the loop has noted that it was created.
    while not (await site.get(loop.loop_id)).rounds:
        await asyncio.sleep(0.02)
    await site.stub.CancelLoop(loop_pb2.CancelLoopRequest(loop_id=loop.loop_id))
    await site.events(loop.loop_id)
    loop = await site.get(loop.loop_id)
    assert loop.job.state == job_pb2.JOB_STATE_CANCELLED
    assert loop.stop_reason == loop_pb2.STOP_REASON_CANCELLED
    run = await site.world.test_runner.jobs.store.get(loop.rounds[0].test_run_id)
    assert run.state in ("CANCELLING", "CANCELLED")


async def test_an_ended_loop_cannot_be_cancelled(site: Site) -> None:
    site.world.evaluator.judgement.rates["tiny@1"] = 1.0
    loop = await site.create()
    await site.events(loop.loop_id)
    with pytest.raises(FailedPrecondition):
        await site.stub.CancelLoop(loop_pb2.CancelLoopRequest(loop_id=loop.loop_id))


async def test_wrong_requests_get_a_sentence_and_store_nothing(site: Site) -> None:
    loops = await site.loop_ids()
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (InvalidArgument, {"budget": loop_goal_pb2.Budget(max_minutes=-5)}),
        (InvalidArgument, {"budget": loop_goal_pb2.Budget(max_minutes=math.nan)}),
        (InvalidArgument, {"budget": loop_goal_pb2.Budget(max_rounds=-1)}),
        (InvalidArgument, {"goals": []}),
        (InvalidArgument, {"num_probe_cases": 49}),
        (NotFound, {"model_version_id": "no-such-model"}),
        (NotFound, {"test_suite_version_id": "roo_xml/none"}),
    ]
    for cls, changes in wrong:
        with pytest.raises(cls) as raised:
            await site.create(**changes)
        assert getattr(raised.value, "next_step", "")
    with pytest.raises(NotFound, match="no loop"):
        await site.get("loop-unknown")
    with pytest.raises(NotFound, match="no loop"):
        await site.events("loop-unknown")
    assert await site.loop_ids() == loops


async def test_a_schedule_is_run_by_hand_and_what_it_reached_is_counted(site: Site) -> None:
    site.world.evaluator.judgement.rates["tiny@1"] = 0.3
    goals = [loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.8)]
    watched = schedule_pb2.ScheduleSpec(
        model_version_id="tiny@1", test_suite_version_id="roo_xml/core@1", goals=goals, daily_time="02:30"
    )
    request = schedule_pb2.CreateScheduleRequest(spec=watched)
    schedule = (await site.stub.CreateSchedule(request)).schedule
    assert schedule.next_due_time.ToDatetime().strftime("%H:%M") == "02:30"
    by_hand = scheduled_run_pb2.RunScheduleRequest(schedule_id=schedule.schedule_id)
    run = (await site.stub.RunSchedule(by_hand)).scheduled_run
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not run.outcome:
            await asyncio.sleep(0.2)
            wanted = scheduled_run_pb2.GetScheduledRunRequest(scheduled_run_id=run.scheduled_run_id)
            run = (await site.stub.GetScheduledRun(wanted)).scheduled_run
    assert run.outcome == scheduled_run_pb2.SCHEDULED_RUN_OUTCOME_BROKEN and run.is_manual
    assert run.sentence.startswith("tiny@1 on roo_xml/core@1: missed: the conforming rate is 30.0%")
    assert 'drillyard_schedules{outcome="broken"} 1.0' in metrics_of(site.process)
    await site.stub.DeleteSchedule(schedule_pb2.DeleteScheduleRequest(schedule_id=schedule.schedule_id))


async def test_the_process_shows_its_series(site: Site) -> None:
    site.world.evaluator.judgement.rates["tiny@1"] = 1.0
    await site.events((await site.create()).loop_id)
    shown = await asyncio.to_thread(metrics_of, site.process)
    for series in ('loops_ended_total{reason="GOALS_MET"}', 'loop_step_seconds_count{step="evaluate"}'):
        assert re.search(rf"drillyard_{re.escape(series)} [1-9]", shown)
    assert re.search(r'drillyard_jobs\{kind="loop",state="SUCCEEDED"\} [1-9]', shown)


async def test_a_service_is_small_starts_fast_and_leaves_its_loop_to_the_next_when_asked_to_end(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        usage = psutil.Process(site.process.process.pid)
        assert usage.memory_info().rss < MOST_MEMORY_BYTES
        assert sum(usage.cpu_times()[:2]) < MOST_START_SECONDS
        gate = site.world.gates.close("0/test:work")
        loop = await site.create()
        await gate.arrival()
        assert site.process.stop() == 0
        gate.open()
        assert [job.kind for job in await site.world.jobs() if str(job.state) == "CANCELLING"] == []
    async with open_site(tmp_path) as again:
        # The new neighbours know nothing of the run that was started, and say so.
        await again.events(loop.loop_id)
        ended = await again.get(loop.loop_id)
        assert ended.job.state == job_pb2.JOB_STATE_FAILED
        assert ended.job.error.code == "NOT_FOUND"
