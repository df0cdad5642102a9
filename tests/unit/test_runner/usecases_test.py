"""What callers may do with test runs and transcripts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from drillyard.test_runner.v1 import test_run_pb2

from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.chassis.wire import check
from services.test_runner.domain.test_run import Hold, TestRunSpec, items
from services.test_runner.domain.transcript import FinishReason, Message, Transcript
from tests.unit.test_runner.bench import SPEC, Bench, FakeBackend


async def finished_run(bench: Bench, request_id: str = "r") -> str:
    run = await bench.usecases.create(request_id, SPEC)
    await bench.work(run.job.job_id)
    return run.job.job_id


async def pages(bench: Bench, run_id: str, size: int) -> list[list[int]]:
    token, found = "", []
    while True:
        page, token = await bench.transcripts_of.list_transcripts(
            run_id, page_size=size, page_token=token, after_sequence=0
        )
        found.append([item.sequence for item in page])
        if not token:
            return found


async def test_a_run_shows_the_versions_that_it_uses() -> None:
    run = await Bench(FakeBackend()).usecases.create("r", SPEC)
    assert (run.spec.model_version_id, run.spec.test_suite_version_id) == ("tiny@1", "roo_xml/core@1")
    assert run.record is not None and run.record.inputs.profile_digest.startswith("sha256:")


async def test_an_adapter_version_brings_the_weights_it_is_loaded_on() -> None:
    bench = Bench(FakeBackend())
    run = await bench.usecases.create("r", replace(SPEC, model_version_id="adapted@2"))
    await bench.work(run.job.job_id)
    workload = bench.backend.workloads[0]
    assert workload.adapter is not None and workload.base is not None
    assert (workload.base.uri, workload.adapter.uri) == ("base", "adapter")


async def test_the_same_request_gives_the_same_run_even_when_a_newer_version_came() -> None:
    bench = Bench(FakeBackend())
    first = await bench.usecases.create("r", SPEC)
    bench.registry.newest = "tiny@2"
    again = await bench.usecases.create("r", SPEC)
    assert again.job.job_id == first.job.job_id
    assert again.spec.model_version_id == "tiny@1"


async def test_the_same_request_id_for_another_run_is_refused_naming_the_field() -> None:
    bench = Bench(FakeBackend())
    await bench.usecases.create("r", SPEC)
    with pytest.raises(AlreadyExists, match="seed"):
        await bench.usecases.create("r", replace(SPEC, seed=1))


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.model_version_id", replace(SPEC, model_version_id="")),
        ("spec.test_suite_version_id", replace(SPEC, test_suite_version_id="")),
        ("spec.prompt_size", replace(SPEC, prompt_size="huge")),
        ("spec.dtype", replace(SPEC, dtype="int3")),
    ],
)
async def test_a_value_that_cannot_be_used_is_refused_naming_the_field(field: str, spec: TestRunSpec) -> None:
    bench = Bench(FakeBackend())
    with pytest.raises(InvalidArgument) as caught:
        await bench.usecases.create("r", spec)
    assert caught.value.fields["field"] == field
    assert await bench.usecases.resource.list(0, "") == ([], "")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("spec.model_version_id", {"model_version_id": "x" * 201}),
        ("spec.num_repeats", {"num_repeats": -1}),
        ("spec.seed", {"seed": -1}),
        ("spec.case_timeout_seconds", {"case_timeout_seconds": 1e9}),
        ("spec.sampling.temperature", {"sampling": {"temperature": math.nan}}),
        ("spec.sampling.temperature", {"sampling": {"temperature": -0.1}}),
        ("spec.sampling.top_p", {"sampling": {"top_p": 1.1}}),
        ("spec.sampling.top_k", {"sampling": {"top_k": -1}}),
        ("spec.sampling.min_p", {"sampling": {"min_p": 2.0}}),
        ("spec.sampling.max_new_tokens", {"sampling": {"max_new_tokens": -5}}),
        ("spec.endpoint.max_concurrency", {"endpoint": {"max_concurrency": 300}}),
        ("spec.endpoint.num_ctx", {"endpoint": {"num_ctx": -1}}),
        ("spec.endpoint.tool_mode", {"endpoint": {"tool_mode": 99}}),
    ],
)
def test_a_value_out_of_bounds_does_not_reach_the_use_case(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(test_run_pb2.CreateTestRunRequest(spec=test_run_pb2.TestRunSpec(**values)))
    assert caught.value.fields["field"] == field


@pytest.mark.parametrize(
    "spec", [replace(SPEC, model_version_id="other"), replace(SPEC, test_suite_version_id="roo_xml/other")]
)
async def test_unknown_versions_are_refused_and_nothing_is_stored(spec: TestRunSpec) -> None:
    bench = Bench(FakeBackend())
    with pytest.raises(NotFound):
        await bench.usecases.create("r", spec)
    assert await bench.usecases.resource.list(0, "") == ([], "")


async def test_a_suite_without_cases_is_refused() -> None:
    bench = Bench(FakeBackend())
    bench.registry.cases = ()
    with pytest.raises(FailedPrecondition):
        await bench.usecases.create("r", SPEC)


async def test_unknown_runs_and_transcripts_are_not_found() -> None:
    bench = Bench(FakeBackend())
    usecases = bench.usecases
    with pytest.raises(NotFound, match="test run"):
        await usecases.resource.get("run-0")
    with pytest.raises(NotFound, match="test run"):
        await usecases.resource.cancel("run-0")
    with pytest.raises(NotFound, match="test run"):
        await bench.transcripts_of.list_transcripts("run-0", page_size=0, page_token="", after_sequence=0)
    with pytest.raises(NotFound, match="transcript"):
        await bench.transcripts_of.get_transcript("run-0-1")


async def test_jobs_of_another_kind_are_not_runs() -> None:
    bench = Bench(FakeBackend())
    await bench.jobs.create("other", "r", {}, job_id="other-1")
    with pytest.raises(NotFound):
        await bench.usecases.resource.get("other-1")


async def test_runs_are_listed_newest_first() -> None:
    bench = Bench(FakeBackend())
    ids = [(await bench.usecases.create(name, SPEC)).job.job_id for name in "abc"]
    first, token = await bench.usecases.resource.list(2, "")
    rest, end = await bench.usecases.resource.list(2, token)
    assert [run.job.job_id for run in (*first, *rest)] == ids[::-1]
    assert end == ""


@pytest.mark.parametrize("size", [1, 3, 10, 11])
async def test_pages_hold_every_transcript_once(size: int) -> None:
    bench = Bench(FakeBackend())
    found = await pages(bench, await finished_run(bench), size)
    assert [sequence for page in found for sequence in page] == list(range(1, 11))
    assert all(len(page) == size for page in found[:-1])
    assert found[-1]


async def test_a_reader_can_go_on_after_a_place() -> None:
    bench = Bench(FakeBackend())
    run_id = await finished_run(bench)
    page, _ = await bench.transcripts_of.list_transcripts(run_id, page_size=0, page_token="", after_sequence=7)
    assert [item.sequence for item in page] == [8, 9, 10]


async def test_a_page_ends_before_it_outgrows_a_message() -> None:
    bench = Bench(FakeBackend())
    run = await bench.usecases.create("r", SPEC)
    epoch = (await bench.jobs.claim(["test_run"], "me", 60)).epoch  # type: ignore[union-attr]
    big = [
        Transcript(run.job.job_id, place + 1, "c", 0, (Message("user", "x" * 900_000),), FinishReason.STOP)
        for place in range(5)
    ]
    await bench.store.append_window(run.job.job_id, Hold(run.job.job_id, epoch), run.record.environment, big)  # type: ignore[union-attr]
    assert await pages(bench, run.job.job_id, 1000) == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize("size", [-1, 1001])
async def test_page_sizes_out_of_bounds_are_refused(size: int) -> None:
    bench = Bench(FakeBackend())
    run_id = await finished_run(bench)
    with pytest.raises(InvalidArgument):
        await bench.transcripts_of.list_transcripts(run_id, page_size=size, page_token="", after_sequence=0)
    with pytest.raises(InvalidArgument):
        await bench.usecases.resource.list(size, "")


@pytest.mark.parametrize("token", ["x", "-1", "9" * 40, "٣"])
async def test_tokens_that_no_list_gave_out_are_refused(token: str) -> None:
    bench = Bench(FakeBackend())
    run_id = await finished_run(bench)
    with pytest.raises(InvalidArgument):
        await bench.transcripts_of.list_transcripts(run_id, page_size=0, page_token=token, after_sequence=0)


async def test_watching_ends_with_the_run() -> None:
    bench = Bench(FakeBackend())
    run_id = await finished_run(bench)
    events = [event async for event in bench.usecases.resource.watch(run_id, 0)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].payload["state"] == "SUCCEEDED"


@pytest.mark.parametrize("num_done", [0, 4, 8, 9])
def test_a_run_goes_on_with_the_items_that_are_left(num_done: int) -> None:
    every = list(items(3, 3))
    assert [item.number for item in every] == list(range(1, 10))
    assert [(item.case_index, item.repeat) for item in every] == [
        (case, repeat) for repeat in range(3) for case in range(3)
    ]
    assert list(items(3, 3, num_done=num_done)) == every[num_done:]
