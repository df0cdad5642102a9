from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from drillyard.test_runner.v1.test_run_pb2 import TestRun

from services.chassis.channel import open_channel
from services.chassis.errors import Unavailable
from services.feedback.clients.test_runner import GrpcTestRunner
from services.feedback.domain.work import TestOrder, WorkProgress
from tests.machine import PATIENCE_SECONDS
from tests.unit.feedback.bench import set_up

ORDER = TestOrder("tiny@1", "roo_xml/core@1", "compact", 192, 7)


async def test_progress_of_another_service_is_followed_from_now_to_its_end(tmp_path: Path) -> None:
    async with set_up(tmp_path) as bench:
        gate = bench.world.gates.close("0/test:work")
        run_id = await bench.services.test_runner.start("loop/0/test", ORDER)
        await gate.arrival()
        told = []
        async for progress in bench.services.test_runner.watch(run_id):
            told.append(progress)
            gate.open()
        assert told[0] == WorkProgress("fake", 1, 2, "units")
        assert told[-1] == WorkProgress("fake", 2, 2, "units", "nearly there")
        assert (await bench.services.test_runner.state(run_id)).state == "SUCCEEDED"


async def test_starting_twice_under_one_request_id_starts_one_run(tmp_path: Path) -> None:
    async with set_up(tmp_path) as bench:
        first, again = [await bench.services.test_runner.start("loop/0/test", ORDER) for _ in range(2)]
        assert first == again
        assert len(await bench.world.jobs()) == 1


async def test_all_pages_of_cases_and_verdicts_are_read(tmp_path: Path) -> None:
    async with set_up(tmp_path) as bench:
        cases = await bench.services.registry.list_cases("roo_xml/core@1")
        run_id = await bench.services.test_runner.start("loop/0/test", ORDER)
        evaluation_id = await bench.services.evaluator.start("loop/0/evaluate", run_id)
        verdicts = await bench.services.evaluator.verdicts(evaluation_id)
        assert [verdict.case_id for verdict in verdicts] == [case.case_id for case in cases]
        assert cases == bench.world.registry.cases["roo_xml/core@1"]


async def test_whoever_asks_for_a_plan_is_told_that_the_test_runner_is_away() -> None:
    channel = open_channel("127.0.0.1:1")
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(Unavailable):
            await GrpcTestRunner(channel).template_faults("tiny@1", "roo_xml", prompt_size="", max_new_tokens=9)
    await channel.close()


async def test_a_clock_that_was_set_while_a_job_worked_changes_nothing_of_what_it_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with set_up(tmp_path) as bench:
        runner = bench.services.test_runner
        run_id = await runner.start("loop/0/test", ORDER)
        async for _ in runner.watch(run_id):
            pass
        run = await runner._get(run_id)
        job = run.job
        measured = job.worked_seconds
        # A job of a release that did not measure it has its clock times alone.
        for is_measured, hours, seconds in (
            (True, 1, measured),
            (True, -1, measured),
            (False, 1, 3600),
            (False, -1, 0),
        ):
            job.ClearField("worked_seconds")
            if is_measured:
                job.worked_seconds = measured
            job.end_time.FromSeconds(job.start_time.seconds + 3600 * hours)
            job.end_time.nanos = job.start_time.nanos

            async def answer(_work_id: str) -> TestRun:
                return run

            monkeypatch.setattr(runner, "_get", answer)
            assert (await runner.state(run_id)).seconds == seconds
        assert measured > 0
