"""The evaluator as a process, beside a registry and a test runner with a tiny random model."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest
import pytest_asyncio
from drillyard.evaluator.v1 import (
    comparison_pb2,
    evaluation_pb2,
    evaluator_service_pb2_grpc,
    export_pb2,
    verdict_pb2,
)
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from tests.integration.processes import ServiceProcess, start_service
from tests.integration.tiny_stack import (
    TestRunner,
    TinyStack,
    connected,
    core_cases,
    create_run,
    finished_run,
    get_run,
    held,
    standing_still,
    tiny_stack,
    transcripts,
)

NUM_CASES = 24
WINDOW_SIZE = 3

Evaluator: TypeAlias = "evaluator_service_pb2_grpc.EvaluatorServiceAsyncStub"


@dataclass
class Services:
    """The evaluator beside the stack that it judges, with a stub for each service that tests call."""

    stack: TinyStack
    service: ServiceProcess
    runs: TestRunner
    evaluations: Evaluator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny_stack")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(folder: Path) -> AsyncIterator[TinyStack]:
    async with tiny_stack(folder, num_cases=NUM_CASES, window_size=WINDOW_SIZE) as started:
        yield started


@asynccontextmanager
async def evaluator(stack: TinyStack) -> AsyncIterator[Services]:
    """Start an evaluator beside the stack."""
    addresses = {"registry_address": stack.registry.address, "test_runner_address": stack.runner.address}
    async with AsyncExitStack() as ending:
        service = ending.enter_context(start_service("evaluator", stack.data_dir, **addresses))
        runs = await ending.enter_async_context(connected(stack.runner))
        evaluations = await ending.enter_async_context(connected(service))
        yield Services(
            stack,
            service,
            test_runner_service_pb2_grpc.TestRunnerServiceStub(runs),
            evaluator_service_pb2_grpc.EvaluatorServiceStub(evaluations),
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(stack: TinyStack) -> AsyncIterator[Services]:
    """The evaluator of most tests: those that kill one come before it is started, or after the others."""
    async with evaluator(stack) as started:
        yield started


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def create(stub: Evaluator, run_id: str, request_id: str = "") -> evaluation_pb2.Evaluation:
    request = evaluation_pb2.CreateEvaluationRequest(request_id=request_id, test_run_id=run_id)
    return (await stub.CreateEvaluation(request)).evaluation


async def watch(stub: Evaluator, evaluation_id: str) -> AsyncIterator[evaluation_pb2.WatchEvaluationResponse]:
    request = evaluation_pb2.WatchEvaluationRequest(evaluation_id=evaluation_id)
    async for response in stub.WatchEvaluation(request):
        yield response


async def first_counts(stub: Evaluator, evaluation_id: str) -> None:
    """Wait until the first verdicts are stored."""
    async for response in watch(stub, evaluation_id):
        if response.HasField("counts"):
            return


async def all_counts(stub: Evaluator, evaluation_id: str) -> list[int]:
    """Return how many verdicts there were each time that this was told."""
    responses = watch(stub, evaluation_id)
    return [response.counts.num_cases async for response in responses if response.HasField("counts")]


async def finished(stub: Evaluator, evaluation_id: str) -> evaluation_pb2.Evaluation:
    async for _ in watch(stub, evaluation_id):
        pass
    request = evaluation_pb2.GetEvaluationRequest(evaluation_id=evaluation_id)
    return (await stub.GetEvaluation(request)).evaluation


async def verdicts(stub: Evaluator, evaluation_id: str, **wanted: str) -> list[verdict_pb2.Verdict]:
    found: list[verdict_pb2.Verdict] = []
    token = ""
    while True:
        request = verdict_pb2.ListVerdictsRequest(evaluation_id=evaluation_id, page_size=6, page_token=token, **wanted)
        page = await stub.ListVerdicts(request)
        found.extend(page.verdicts)
        token = page.next_page_token
        if not token:
            return found


async def evaluated_run(services: Services, name: str, **spec: object) -> evaluation_pb2.Evaluation:
    run = await create_run(services.runs, name, test_suite_version_id=services.stack.suite, **spec)
    evaluation = await create(services.evaluations, run.test_run_id, name)
    return await finished(services.evaluations, evaluation.evaluation_id)


async def test_an_evaluation_goes_on_after_its_service_was_killed(stack: TinyStack) -> None:
    async with evaluator(stack) as first:
        run = await create_run(first.runs, "evaluator-killed", test_suite_version_id=stack.suite)
        created = await create(first.evaluations, run.test_run_id)
        async with held(first.runs, stack.runner, run.test_run_id):
            await first_counts(first.evaluations, created.evaluation_id)
            first.service.kill()
    async with evaluator(stack) as second:
        done = await finished(second.evaluations, created.evaluation_id)
        assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
        assert done.job.attempt == 2
        found = await verdicts(second.evaluations, created.evaluation_id)
        answered = await transcripts(second.runs, run.test_run_id)
        assert [item.transcript_id for item in found] == [item.transcript_id for item in answered]
        assert done.metrics.overall.num_cases == NUM_CASES


async def test_a_run_that_is_still_going_is_followed_and_judged_as_the_library_judges(services: Services) -> None:
    run = await create_run(services.runs, "followed", test_suite_version_id=services.stack.suite)
    created = await create(services.evaluations, run.test_run_id)
    counting = asyncio.ensure_future(all_counts(services.evaluations, created.evaluation_id))
    async with held(services.runs, services.stack.runner, run.test_run_id):
        await first_counts(services.evaluations, created.evaluation_id)
    counts = await counting
    done = await finished(services.evaluations, created.evaluation_id)
    assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
    assert len(counts) > 1 and counts == sorted(counts) and counts[-1] == NUM_CASES

    found = await verdicts(services.evaluations, created.evaluation_id)
    profile = get_profile("roo_xml")
    answered = await transcripts(services.runs, run.test_run_id)
    for case, transcript, verdict in zip(core_cases(NUM_CASES), answered, found, strict=True):
        ends = "length" if transcript.finish_reason == transcript_pb2.FINISH_REASON_LENGTH else "stop"
        expected = profile.judge(case, profile.read_answer(transcript.messages[-1].content, ends))
        assert (verdict.case_id, verdict.transcript_id) == (case.case_id, transcript.transcript_id)
        assert (verdict.conforming, verdict.cause or None) == (expected.conforming, expected.cause)
        assert verdict.sentence == expected.sentence
    assert done.metrics.overall.num_cases == NUM_CASES
    assert {item.cause: item.num_cases for item in done.metrics.by_cause} == Counter(item.cause for item in found)
    assert sum(item.rates.num_cases for item in done.metrics.by_tool) == NUM_CASES
    cause = done.metrics.by_cause[0]
    assert len(await verdicts(services.evaluations, created.evaluation_id, cause=cause.cause)) == cause.num_cases


async def test_runs_of_one_spec_are_compared(services: Services) -> None:
    before = await evaluated_run(services, "whole")
    after = await evaluated_run(services, "again")
    request = comparison_pb2.CompareEvaluationsRequest(
        before_evaluation_id=before.evaluation_id, after_evaluation_id=after.evaluation_id
    )
    found = (await services.evaluations.CompareEvaluations(request)).comparison
    assert (list(found.gained_case_ids), list(found.lost_case_ids)) == ([], [])
    assert found.before == found.after == before.metrics.overall
    assert [item.tool for item in found.by_tool] == [item.tool for item in before.metrics.by_tool]
    assert "stayed" in found.sentence
    assert (found.conforming.mean, found.conforming.p_value) == (0, 1)


async def test_two_runs_of_one_spec_are_at_parity(services: Services) -> None:
    before = await evaluated_run(services, "whole")
    after = await evaluated_run(services, "again")
    request = comparison_pb2.CheckParityRequest(
        before_evaluation_id=before.evaluation_id, after_evaluation_id=after.evaluation_id
    )
    found = (await services.evaluations.CheckParity(request)).parity
    assert (found.num_compared, found.equal_answers_rate, found.equal_verdicts_rate) == (NUM_CASES, 1.0, 1.0)
    assert found.guilty_step == "none"


@pytest.mark.parametrize(
    ("form", "ending"),
    [
        (export_pb2.EXPORT_FORMAT_JSON, ".json"),
        (export_pb2.EXPORT_FORMAT_CSV, ".csv"),
        (export_pb2.EXPORT_FORMAT_INSPECT, ".inspect.json"),
        (export_pb2.EXPORT_FORMAT_HTML, ".html"),
    ],
)
async def test_an_evaluation_is_streamed_as_a_file(
    services: Services, form: export_pb2.ExportFormat.ValueType, ending: str
) -> None:
    evaluation = await evaluated_run(services, "whole")
    request = export_pb2.ExportEvaluationRequest(evaluation_id=evaluation.evaluation_id, format=form)
    responses = [response async for response in services.evaluations.ExportEvaluation(request)]
    assert responses[0].file_name.endswith(ending) and responses[0].media_type
    text = b"".join(response.chunk for response in responses).decode()
    assert all(case.case_id in text for case in core_cases(NUM_CASES))
    request.format = export_pb2.EXPORT_FORMAT_UNSPECIFIED
    with pytest.raises(InvalidArgument):
        async for _ in services.evaluations.ExportEvaluation(request):
            pass


async def test_verdicts_are_counted_over_all_pages(services: Services) -> None:
    evaluation = await evaluated_run(services, "whole")
    request = verdict_pb2.ListVerdictsRequest(evaluation_id=evaluation.evaluation_id, page_size=2)
    page = await services.evaluations.ListVerdicts(request)
    assert (len(page.verdicts), page.total_size, page.verdicts[0].sequence) == (2, NUM_CASES, 1)
    request.case_id = core_cases(NUM_CASES)[5].case_id
    assert (await services.evaluations.ListVerdicts(request)).total_size == 1


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("prompt size (compact and full)", {"prompt_size": "full"}),
        ("sampling", {"sampling": test_run_pb2.Sampling(max_new_tokens=8)}),
        ("number of repeats (1 and 2)", {"num_repeats": 2}),
    ],
)
async def test_runs_of_different_specs_are_not_compared(services: Services, name: str, spec: dict[str, object]) -> None:
    before = await evaluated_run(services, "whole")
    after = await evaluated_run(services, f"other {name}", **spec)
    request = comparison_pb2.CompareEvaluationsRequest(
        before_evaluation_id=before.evaluation_id, after_evaluation_id=after.evaluation_id
    )
    with pytest.raises(FailedPrecondition) as caught:
        await services.evaluations.CompareEvaluations(request)
    assert name in caught.value.problem


async def test_a_run_cancelled_before_its_first_answer_fails_its_evaluation(services: Services) -> None:
    with standing_still(services.stack.runner):
        run = await create_run(services.runs, "cancelled", test_suite_version_id=services.stack.suite)
        await services.runs.CancelTestRun(test_run_pb2.CancelTestRunRequest(test_run_id=run.test_run_id))
    assert (await finished_run(services.runs, run.test_run_id)).num_transcripts == 0
    done = await finished(services.evaluations, (await create(services.evaluations, run.test_run_id)).evaluation_id)
    assert done.job.state == job_pb2.JOB_STATE_FAILED
    assert "CANCELLED" in done.job.error.problem and done.job.error.next_step


async def test_single_answers_are_judged(services: Services) -> None:
    case = core_cases(1)[0]
    profile = get_profile("roo_xml")
    document = json.dumps(case_to_document(case))
    request = verdict_pb2.JudgeRequest(
        profile_id="roo_xml", case_document=document, answer=profile.reference_answer(case)
    )
    assert (await services.evaluations.Judge(request)).verdict.conforming
    request.answer += "\n\nAnything else?"
    verdict = (await services.evaluations.Judge(request)).verdict
    failed = next(layer for layer in verdict.layers if layer.status == verdict_pb2.LAYER_STATUS_FAILED)
    assert verdict.cause == "text_after"
    assert "Anything else?" in request.answer[failed.span_start : failed.span_end]
    request.case_document = "{"
    with pytest.raises(InvalidArgument):
        await services.evaluations.Judge(request)


async def test_batches_and_streams_are_judged_in_their_order(services: Services) -> None:
    cases, profile = core_cases(NUM_CASES), get_profile("roo_xml")
    requests = [
        verdict_pb2.JudgeRequest(
            profile_id="roo_xml",
            case_document=json.dumps(case_to_document(case)) if place % 3 else "{",
            answer=profile.reference_answer(case) if place % 2 else "no",
            key=f"{place}",
        )
        for place, case in enumerate(cases)
    ]
    batch = (await services.evaluations.JudgeBatch(verdict_pb2.JudgeBatchRequest(requests=requests))).results

    async def asked() -> AsyncIterator[verdict_pb2.JudgeStreamRequest]:
        for request in requests:
            yield verdict_pb2.JudgeStreamRequest(request=request)

    streamed = [response.result async for response in services.evaluations.JudgeStream(asked())]
    assert streamed == list(batch)
    assert [result.key for result in batch] == [f"{place}" for place in range(NUM_CASES)]
    for place, result in enumerate(batch):
        assert bool(result.problem) is not result.HasField("verdict") and bool(result.problem) is (place % 3 == 0)
        assert result.verdict.conforming is bool(place % 3 and place % 2)


async def test_unknown_ids_are_refused_with_what_to_do(services: Services) -> None:
    with pytest.raises(NotFound) as caught:
        await create(services.evaluations, "run-0")
    assert caught.value.next_step
    with pytest.raises(NotFound):
        await finished(services.evaluations, "eval-0")


async def test_the_service_is_small(services: Services) -> None:
    assert psutil.Process(services.service.process.pid).memory_info().rss < 150 * 2**20


async def test_an_evaluation_outlives_a_kill_of_the_test_runner_that_it_follows(services: Services) -> None:
    run = await create_run(services.runs, "runner-killed", test_suite_version_id=services.stack.suite)
    created = await create(services.evaluations, run.test_run_id)
    async with held(services.runs, services.stack.runner, run.test_run_id):
        await first_counts(services.evaluations, created.evaluation_id)
        services.stack.runner.kill()
    services.stack.start_runner()
    done = await finished(services.evaluations, created.evaluation_id)
    assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
    assert done.metrics.overall.num_cases == NUM_CASES
    async with connected(services.stack.runner) as channel:
        runs = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        assert (await get_run(runs, run.test_run_id)).job.attempt == 2
