"""The test runner as a process, with the registry and a real worker on a tiny random model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import diagnosis_pb2, test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.errors import AlreadyExists, InvalidArgument, NotFound
from services.chassis.waiting import follow
from tests.integration.processes import NotReadyError, ServiceProcess, start_service
from tests.integration.tiny_stack import (
    FINAL_STATES,
    MODEL,
    SUITE,
    TestRunner,
    TinyStack,
    a_worker,
    answers,
    connected,
    core_cases,
    create_run,
    finished_run,
    get_run,
    held,
    tiny_stack,
    transcripts,
    watch_run,
    workers,
)
from tests.machine import PATIENCE_SECONDS

NUM_CASES = 24
WINDOW_SIZE = 3


@dataclass
class Running:
    """A test runner that tests may kill and start again, and what a run of its suite must answer."""

    stack: TinyStack
    reference: list[tuple[object, ...]]

    @property
    def service(self) -> ServiceProcess:
        return self.stack.runner

    @property
    def suite(self) -> str:
        return self.stack.suite


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny_stack")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(folder: Path) -> AsyncIterator[Running]:
    async with tiny_stack(folder, num_cases=NUM_CASES, window_size=WINDOW_SIZE) as stack:
        async with connected(stack.runner) as channel:
            stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
            run = await create_run(stub, "reference", test_suite_version_id=stack.suite)
            await finished_run(stub, run.test_run_id)
            reference = answers(await transcripts(stub, run.test_run_id))
        yield Running(stack, reference)


@pytest.fixture
async def stub(running: Running) -> AsyncIterator[TestRunner]:
    async with connected(running.service) as channel:
        yield test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)


async def test_a_run_answers_every_case_and_says_what_it_ran_with(stub: TestRunner, running: Running) -> None:
    run = await create_run(stub, "whole", test_suite_version_id=running.suite.partition("@")[0])
    assert run.spec.model_version_id == "tiny@1"
    assert run.spec.test_suite_version_id == running.suite
    done = await finished_run(stub, run.test_run_id)
    assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
    assert (done.num_transcripts, done.num_transcripts_total) == (NUM_CASES, NUM_CASES)
    found = await transcripts(stub, run.test_run_id)
    assert [item.case_id for item in found] == [case.case_id for case in core_cases(NUM_CASES)]
    assert done.num_generated_tokens == sum(len(item.token_ids) for item in found) > 0
    assert all(item.num_cached_tokens > 0 for item in found[1:])
    provenance = done.provenance
    assert provenance.dtype == "float32" and provenance.num_threads > 0
    assert provenance.profile_id == "roo_xml"
    assert {"torch", "transformers"} <= set(provenance.library_versions)
    for digest in (provenance.model_digest, provenance.test_suite_digest, provenance.profile_digest):
        assert digest.startswith("sha256:")
    one = await stub.GetTranscript(transcript_pb2.GetTranscriptRequest(transcript_id=found[3].transcript_id))
    assert one.transcript == found[3]


async def test_two_runs_of_one_spec_give_the_same_answers(stub: TestRunner, running: Running) -> None:
    run = await create_run(stub, "twice", test_suite_version_id=running.suite)
    await finished_run(stub, run.test_run_id)
    assert answers(await transcripts(stub, run.test_run_id)) == running.reference


async def test_sampled_answers_follow_from_the_seed(stub: TestRunner, running: Running) -> None:
    sampling = test_run_pb2.Sampling(temperature=1.0, max_new_tokens=8)
    texts = []
    for name, seed in (("seed-a", 3), ("seed-b", 3), ("seed-c", 4)):
        run = await create_run(
            stub, name, test_suite_version_id=running.suite, sampling=sampling, seed=seed, num_repeats=2
        )
        done = await finished_run(stub, run.test_run_id)
        assert done.num_transcripts == 2 * NUM_CASES
        texts.append([tuple(item.token_ids) for item in await transcripts(stub, run.test_run_id)])
    assert texts[0] == texts[1] != texts[2]
    assert texts[0][:NUM_CASES] != texts[0][NUM_CASES:]


async def test_a_run_goes_on_after_its_service_was_killed_and_ends_the_same(stub: TestRunner, running: Running) -> None:
    sequences: list[int] = []

    def watch(after: int) -> AsyncIterator[test_run_pb2.WatchTestRunResponse]:
        request = test_run_pb2.WatchTestRunRequest(test_run_id=run.test_run_id, after_sequence=after)
        return aiter(stub.WatchTestRun(request))

    run = await create_run(stub, "killed", test_suite_version_id=running.suite)
    was_killed = False
    async for response in follow(watch, lambda item: item.event.sequence, peer="the test runner"):
        sequences.append(response.event.sequence)
        if not was_killed:
            async with held(stub, running.service, run.test_run_id) as so_far:
                assert so_far.num_transcripts < NUM_CASES
                worker = await a_worker(running.service)
                running.service.kill()
            worker.wait(PATIENCE_SECONDS)
            running.stack.start_runner()
            was_killed = True
    done = await get_run(stub, run.test_run_id)
    assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
    assert done.job.attempt == 2
    assert answers(await transcripts(stub, run.test_run_id)) == running.reference
    assert sequences == list(range(1, len(sequences) + 1))


async def test_a_window_whose_worker_was_killed_is_run_again(stub: TestRunner, running: Running) -> None:
    run = await create_run(stub, "worker-killed", test_suite_version_id=running.suite)
    async with held(stub, running.service, run.test_run_id):
        (await a_worker(running.service)).kill()
    messages = [event.message.text async for event in watch_run(stub, run.test_run_id) if event.type == "message"]
    done = await get_run(stub, run.test_run_id)
    assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
    assert len(messages) == 1 and "run again" in str(messages[0])
    assert answers(await transcripts(stub, run.test_run_id)) == running.reference


async def test_a_watcher_is_told_each_phase(stub: TestRunner, running: Running) -> None:
    run = await create_run(stub, "watched", test_suite_version_id=running.suite)
    phases = set()
    async for event in watch_run(stub, run.test_run_id):
        if event.type == "progress":
            phases.add(event.progress.phase)
            assert event.progress.num_total == NUM_CASES
    assert phases >= {"load_model", "generate"}


async def test_a_cancelled_run_leaves_its_worker_to_the_next(stub: TestRunner, running: Running) -> None:
    run = await create_run(stub, "cancelled", test_suite_version_id=running.suite)
    async with held(stub, running.service, run.test_run_id) as stored:
        assert stored.job.state not in FINAL_STATES
        await stub.CancelTestRun(test_run_pb2.CancelTestRunRequest(test_run_id=run.test_run_id))
    done = await finished_run(stub, run.test_run_id)
    assert done.job.state == job_pb2.JOB_STATE_CANCELLED
    last = await create_run(stub, "after-cancelled", test_suite_version_id=running.suite)
    assert (await finished_run(stub, last.test_run_id)).job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert len(workers(running.service)) == 1
    assert answers(await transcripts(stub, run.test_run_id)) == running.reference[: done.num_transcripts]


async def test_no_worker_outlives_a_stopped_service(stub: TestRunner, running: Running) -> None:
    run = await create_run(stub, "stopped", test_suite_version_id=running.suite)
    async with held(stub, running.service, run.test_run_id):
        worker = await a_worker(running.service)
    assert running.service.stop() == 0
    assert not worker.is_running()
    running.stack.start_runner()
    async with connected(running.service) as channel:
        again = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        assert (await finished_run(again, run.test_run_id)).job.state == job_pb2.JOB_STATE_SUCCEEDED


async def test_the_same_request_gives_the_same_run(stub: TestRunner, running: Running) -> None:
    first = await create_run(stub, "same", test_suite_version_id=running.suite)
    assert (await create_run(stub, "same", test_suite_version_id=running.suite)).test_run_id == first.test_run_id
    with pytest.raises(AlreadyExists, match="seed"):
        await create_run(stub, "same", test_suite_version_id=running.suite, seed=9)
    await stub.CancelTestRun(test_run_pb2.CancelTestRunRequest(test_run_id=first.test_run_id))
    await finished_run(stub, first.test_run_id)


async def test_bad_requests_are_refused_with_what_to_do(stub: TestRunner) -> None:
    with pytest.raises(NotFound, match="unheard-of"):
        await create_run(stub, "", model_version_id="unheard-of", test_suite_version_id=SUITE)
    with pytest.raises(NotFound, match="unheard-of"):
        await create_run(stub, "", test_suite_version_id="roo_xml/unheard-of")
    with pytest.raises(InvalidArgument, match="num_repeats"):
        await create_run(stub, "", test_suite_version_id=SUITE, num_repeats=-1)
    with pytest.raises(NotFound) as caught:
        await get_run(stub, "run-0")
    assert caught.value.next_step
    with pytest.raises(InvalidArgument, match="model_version_id"):
        async for _ in stub.Generate(transcript_pb2.GenerateRequest()):
            pass


async def test_a_prompt_beyond_the_models_context_is_told_not_cut(stub: TestRunner, running: Running) -> None:
    sampling = test_run_pb2.Sampling(max_new_tokens=4000)
    run = await create_run(stub, "overflow", test_suite_version_id=running.suite, sampling=sampling)
    await finished_run(stub, run.test_run_id)
    found = await transcripts(stub, run.test_run_id)
    assert {item.finish_reason for item in found} == {transcript_pb2.FINISH_REASON_CONTEXT_OVERFLOW}
    assert all(item.num_prompt_tokens > 0 and not item.token_ids for item in found)


async def test_a_model_of_the_registry_is_examined_by_a_process_of_its_own(stub: TestRunner) -> None:
    request = diagnosis_pb2.DiagnoseModelRequest(model_version_id=MODEL, profile_id="roo_native", prompt_size="full")
    found = await stub.DiagnoseModel(request, timeout=PATIENCE_SECONDS)
    codes = {finding.code for finding in found.findings}
    assert {"no_tools_branch", "tool_calls_dropped", "context_too_short"} <= codes
    assert found.findings[0].severity == diagnosis_pb2.SEVERITY_ERROR
    assert found.num_context_tokens == 4096

    request.endpoint.CopyFrom(test_run_pb2.Endpoint(base_url="http://127.0.0.1:1/v1", model="tiny"))
    found = await stub.DiagnoseModel(request, timeout=PATIENCE_SECONDS)
    assert "endpoint_unreachable" in {finding.code for finding in found.findings}
    with pytest.raises(NotFound):
        await stub.DiagnoseModel(diagnosis_pb2.DiagnoseModelRequest(model_version_id="no", profile_id="roo_xml"))
    with pytest.raises(InvalidArgument):
        await stub.DiagnoseModel(diagnosis_pb2.DiagnoseModelRequest(model_version_id=MODEL, profile_id="no"))


def test_a_port_in_use_ends_the_service_with_one_sentence(running: Running, tmp_path: Path) -> None:
    port = running.stack.registry.address.rpartition(":")[2]
    with pytest.raises(NotReadyError, match="code 2") as caught, start_service("test_runner", tmp_path, grpc_port=port):
        pass
    assert "TEST_RUNNER_GRPC_PORT" in str(caught.value)


def test_the_service_stays_small_while_a_worker_generates(running: Running) -> None:
    assert psutil.Process(running.service.process.pid).memory_info().rss < 150 * 2**20
