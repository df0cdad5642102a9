"""Finishing a run: only the cases without an answer are asked, and the rest stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.chassis.jobs import JobState
from services.test_runner import convert
from services.test_runner.domain.test_run import Environment, TestRunSpec
from services.test_runner.domain.transcript import Transcript
from services.test_runner.ports.generation import BackendFaultError
from tests.unit import run_specs as specs
from tests.unit.test_runner.bench import CASES, SPEC, Bench, FakeBackend

HOT = {"sampling": specs.sampling(temperature=1.0), "seed": 5, "num_repeats": 2}
# Both tries of the second window, each after two answers; a worker is then asked the other two cases one by one.
TRIES = ((2, 2), (3, 2))
TWICE = (*TRIES, (4, 0), (5, 0))
BY_ENDPOINT = {"model_version_id": "", "endpoint": specs.endpoint("http://127.0.0.1:1/v1", "m")}


def broken_at(*places: tuple[int, int]) -> FakeBackend:
    """Return a backend that breaks in these pairs of call, from 1, and place, from 0."""

    def before(call: int, place: int) -> None:
        if (call, place) in places:
            raise BackendFaultError("The generation worker was killed.")

    return FakeBackend(before)


async def ended(bench: Bench, name: str, spec: TestRunSpec) -> str:
    run = await bench.usecases.create(name, spec)
    await bench.work(run.job.job_id)
    return run.job.job_id


async def by_case(bench: Bench, run_id: str) -> Mapping[tuple[str, int], Transcript]:
    stored = await bench.transcripts(run_id)
    return {(item.case_id, item.repeat): replace(item, test_run_id="", sequence=0) for item in stored}


def finishing(run_id: str, **values: Any) -> TestRunSpec:
    return replace(specs.run_spec(), **{**_UNSET, **values}, repeat_of_test_run_id=run_id, keep_answers=True)


# What a request leaves unset is empty or 0; it is taken from the run that is finished.
_UNSET: dict[str, Any] = {
    "prompt_size": "",
    "num_repeats": 0,
    "case_timeout_seconds": 0,
    "sampling": specs.sampling(temperature=0, top_p=0, max_new_tokens=0),
}


@pytest.mark.parametrize(
    ("settings", "breaks", "num_asked"),
    [
        ({}, TWICE, [4]),
        (BY_ENDPOINT, TRIES, [2]),
        ({"throughput": True}, ((1, 2), *((call, 0) for call in range(2, 34))), [14, 2]),
    ],
    ids=["windows are asked as a whole", "an endpoint is asked what is missing", "as fast as possible"],
)
async def test_a_finished_run_equals_one_that_was_never_disturbed(
    settings: dict[str, Any], breaks: tuple[tuple[int, int], ...], num_asked: list[int]
) -> None:
    spec = replace(SPEC, **HOT, **settings)
    whole = Bench(FakeBackend(environment=Environment("float32", 7)))
    expected = await by_case(whole, await ended(whole, "r", spec))
    torn = Bench(broken_at(*breaks))
    torn.backend.environment = whole.backend.environment
    torn_id = await ended(torn, "r", spec)
    before = await torn.transcripts(torn_id)
    again = torn.restart(FakeBackend(environment=Environment("bfloat16", 1)))
    run_id = await ended(again, "f", finishing(torn_id))
    assert await by_case(again, run_id) == expected
    assert [len(workload.prompts) for workload in again.backend.workloads] == num_asked
    assert {(workload.dtype, workload.num_threads) for workload in again.backend.workloads} == {("float32", 7)}
    assert await torn.transcripts(torn_id) == before
    runs = [convert.test_run_to_proto(await again.usecases.resource.get(name)) for name in (torn_id, run_id)]
    assert [(run.num_unanswered > 0, run.is_incomplete) for run in runs] == [(True, True), (False, False)]
    if not settings:
        assert [item.sequence for item in await again.transcripts(run_id)] == list(range(1, 21))


async def test_a_run_that_was_cancelled_is_finished_from_where_it_stood() -> None:
    bench = Bench(FakeBackend(blocks_call=2))
    run = await bench.usecases.create("r", SPEC)
    working = asyncio.create_task(bench.work(run.job.job_id))
    await bench.backend.reached.wait()
    with pytest.raises(FailedPrecondition, match="still going"):
        await bench.usecases.create("f", finishing(run.job.job_id))
    await bench.usecases.resource.cancel(run.job.job_id)
    await working
    again = bench.restart(FakeBackend())
    run_id = await ended(again, "f", finishing(run.job.job_id))
    assert [len(workload.prompts) for workload in again.backend.workloads] == [4, 2]
    assert [item.case_id for item in await again.transcripts(run_id)] == [case.case_id for case in CASES]


async def test_a_finishing_run_whose_process_died_goes_on() -> None:
    torn = Bench(broken_at(*TWICE))
    torn_id = await ended(torn, "r", SPEC)
    first = torn.restart(FakeBackend(blocks_call=1))
    run = await first.usecases.create("f", finishing(torn_id))
    await first.runner.start()
    await first.backend.reached.wait()
    await first.runner.stop(1.0)
    second = first.restart(FakeBackend())
    assert (await second.work(run.job.job_id)).state is JobState.SUCCEEDED
    assert len(await second.transcripts(run.job.job_id)) == len(CASES)
    assert [len(workload.prompts) for workload in second.backend.workloads] == [4]


async def test_what_cannot_be_finished_is_refused() -> None:
    bench = Bench(FakeBackend())
    run_id = await ended(bench, "r", SPEC)
    with pytest.raises(FailedPrecondition, match="an answer to every case"):
        await bench.usecases.create("f", finishing(run_id))
    with pytest.raises(InvalidArgument, match="no run whose answers"):
        await bench.usecases.create("f", replace(SPEC, keep_answers=True))
    torn = bench.restart(broken_at(*TWICE))
    torn_id = await ended(torn, "t", SPEC)
    with pytest.raises(InvalidArgument, match="as the run that it repeats"):
        await torn.usecases.create("f", finishing(torn_id, seed=9))
    slower = await torn.usecases.create("f", finishing(torn_id, case_timeout_seconds=900.0))
    assert slower.spec.case_timeout_seconds == 900


async def test_a_run_is_deleted_whole_once_it_has_ended() -> None:
    bench = Bench(FakeBackend())
    queued = (await bench.usecases.create("q", SPEC)).job.job_id
    with pytest.raises(FailedPrecondition, match="Cancel it first"):
        await bench.usecases.resource.delete(queued)
    await bench.work(queued)
    await bench.usecases.resource.delete(queued)
    with pytest.raises(NotFound):
        await bench.usecases.resource.get(queued)
    assert await bench.transcripts(queued) == [] and await bench.store.get_run(queued) is None


async def test_cases_without_an_answer_are_not_compared() -> None:
    bench = Bench(FakeBackend())
    whole = await ended(bench, "r", SPEC)
    torn = bench.restart(broken_at(*TWICE))
    result = await torn.comparisons.compare(whole, await ended(torn, "t", SPEC), 0)
    assert (result.num_compared, result.num_identical, result.num_unanswered) == (8, 8, 2)
    assert (result.differences, result.is_identical) == ((), False)
