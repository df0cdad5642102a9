"""Requests that are made to keep a service busy: hostile patterns and schemas, long answers, large files and lists."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from drillyard.evaluator.v1 import evaluator_service_pb2_grpc, verdict_pb2
from drillyard.feedback.v1 import feedback_item_pb2, feedback_service_pb2_grpc
from drillyard.registry.v1 import artifact_pb2, dataset_pb2, registry_service_pb2_grpc, test_suite_pb2
from drillyard.test_runner.v1 import test_runner_service_pb2_grpc, transcript_pb2
from drillyard.trainer.v1 import attempt_pb2, checkpoint_pb2, trainer_service_pb2_grpc, training_job_pb2

from services.chassis.artifacts import ArtifactStore
from services.chassis.channel import open_channel
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from tests.integration.system_process import SystemProcess

Call = Callable[[], Awaitable[object]]
_SECONDS = 120.0
_PAGE = 1000
_LONG = "a" * 500_000
_SCHEMAS: dict[str, tuple[dict[str, Any], object]] = {
    "a pattern that backtracks": ({"pattern": "^(a+)+$"}, f"{_LONG}!"),
    "a pattern that looks back": ({"pattern": r"^(a|aa)+\1$"}, f"{'a' * 2_000}!"),
    "a pattern of another draft": (
        {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"},
        "a" * 64,
    ),
    "a long list of values": ({"items": {"enum": [f"v{n}" for n in range(20_000)]}}, ["x"] * 10_000),
    "many branches": ({"items": {"anyOf": [{"const": n} for n in range(1_000)]}}, ["x"] * 5_000),
    "equal items": ({"uniqueItems": True}, [{"k": n} for n in range(10_000)]),
}


@asynccontextmanager
async def hostile_calls(system: SystemProcess) -> AsyncIterator[dict[str, Call]]:
    """Yield calls by what is hostile in them; each may be made again and again."""
    files = ArtifactStore((system.folder / "made_up").as_uri())
    async with AsyncExitStack() as ending:
        stubs = {
            name: module(await ending.enter_async_context(open_channel(system.addresses[f"{name}_address"])))
            for name, module in (
                ("registry", registry_service_pb2_grpc.RegistryServiceStub),
                ("test_runner", test_runner_service_pb2_grpc.TestRunnerServiceStub),
                ("evaluator", evaluator_service_pb2_grpc.EvaluatorServiceStub),
                ("trainer", trainer_service_pb2_grpc.TrainerServiceStub),
                ("feedback", feedback_service_pb2_grpc.FeedbackServiceStub),
            )
        }
        yield {
            **_answers(stubs["evaluator"]),
            **await _files(files, stubs["registry"]),
            **await _lists(system, stubs),
        }


def _answers(evaluator: Any) -> dict[str, Call]:
    profile = get_profile("roo_xml")
    case = profile.suites()[0].cases[0]
    plain, answer = case_to_document(case), profile.reference_answer(case)
    groups = ["read", ["edit", {"fileRegex": "^(a+)+$|(x+x+)+y"}]]
    mode = {"slug": "x", "name": "X", "roleDefinition": "y", "groups": groups}
    ignored = "\n".join(f"{'*a' * 20}{number}" for number in range(200))
    requests = {
        "a .rooignore": _judge("roo_xml", plain | {"files": {".rooignore": ignored}}, answer),
        "a mode's fileRegex": _judge("roo_xml", plain | {"mode": "x", "custom_modes": [mode]}, answer),
        "an answer of tags": _judge("roo_xml", plain, "<read_file>" * 100_000),
        "a nested answer": _judge("roo_native", plain, "<tool_call>" + '{"a":' * 100_000),
        **{f"a schema with {name}": _judge("openai_tools", *_of_schema(*pair)) for name, pair in _SCHEMAS.items()},
    }
    batch = verdict_pb2.JudgeBatchRequest(requests=[_judge("roo_xml", plain, "x" * 15_000)] * 300)
    return {
        **{
            name: lambda request=request: evaluator.Judge(request, timeout=_SECONDS)
            for name, request in requests.items()
        },
        "many long answers": lambda: evaluator.JudgeBatch(batch, timeout=_SECONDS),
    }


def _judge(profile_id: str, document: object, answer: str) -> verdict_pb2.JudgeRequest:
    return verdict_pb2.JudgeRequest(profile_id=profile_id, case_document=json.dumps(document), answer=answer)


def _of_schema(schema: dict[str, Any], value: object) -> tuple[object, str]:
    case = json.loads(json.dumps(case_to_document(get_profile("openai_tools").suites()[0].cases[0])))
    function = case["tools"][0]["function"]
    function["parameters"] = {"type": "object", "properties": {"a": schema}}
    call = {"name": function["name"], "arguments": {"a": value}}
    return case, f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


async def _files(files: ArtifactStore, registry: Any) -> dict[str, Call]:
    case = case_to_document(get_profile("openai_tools").suites()[0].cases[0])
    cases = "".join(json.dumps({**case, "case_id": f"c{number}"}) + "\n" for number in range(300))
    suite = await _stored(files, cases)
    rows = await _stored(files, "".join(_row(number, 300) for number in range(3_000)))
    fat = await _stored(files, "".join(_row(number, 400_000) for number in range(12)))

    def create_suite() -> Awaitable[object]:
        request = test_suite_pb2.CreateTestSuiteVersionRequest(
            request_id=uuid.uuid4().hex, test_suite_id="openai_tools/large", artifact=suite
        )
        return registry.CreateTestSuiteVersion(request, timeout=_SECONDS)

    def create_dataset(dataset_id: str, artifact: artifact_pb2.Artifact) -> Awaitable[object]:
        request = dataset_pb2.CreateDatasetVersionRequest(
            request_id=uuid.uuid4().hex, dataset_id=dataset_id, artifact=artifact
        )
        return registry.CreateDatasetVersion(request, timeout=_SECONDS)

    def rows_of(dataset_id: str) -> Awaitable[object]:
        request = dataset_pb2.ListDatasetRowsRequest(dataset_version_id=f"{dataset_id}@1", page_size=_PAGE)
        return registry.ListDatasetRows(request, timeout=_SECONDS)

    cases_of = test_suite_pb2.ListTestCasesRequest(test_suite_version_id="openai_tools/large", page_size=_PAGE)
    return {
        "a large suite": create_suite,
        "a page of cases": lambda: registry.ListTestCases(cases_of, timeout=_SECONDS),
        "a dataset of many rows": lambda: create_dataset("many", rows),
        "a dataset of long rows": lambda: create_dataset("long", fat),
        "a page of many rows": lambda: rows_of("many"),
        "a page of long rows": lambda: rows_of("long"),
    }


async def _stored(files: ArtifactStore, text: str) -> artifact_pb2.Artifact:
    stored = await files.put_bytes(text.encode())
    return artifact_pb2.Artifact(uri=stored.uri, digest=stored.digest, size_bytes=stored.size_bytes)


def _row(number: int, length: int) -> str:
    messages = [{"role": "user", "content": "a" * length}, {"role": "assistant", "content": "b" * length}]
    return json.dumps({"example_id": f"e{number}", "messages": messages}) + "\n"


async def _lists(system: SystemProcess, stubs: dict[str, Any]) -> dict[str, Call]:
    job_id = system.live_training_job_id
    get = training_job_pb2.GetTrainingJobRequest(training_job_id=job_id)
    attempt = (await stubs["trainer"].GetTrainingJob(get)).training_job.attempts[-1]
    points = [checkpoint_pb2.CurvePoint(metric="m", step=n, value=1.0, attempt=1) for n in range(1, 1_001)]
    report = attempt_pb2.ReportAttemptRequest(
        training_job_id=job_id, attempt=attempt.attempt, epoch=attempt.epoch, curve_points=points
    )
    curve = checkpoint_pb2.ListCurvePointsRequest(training_job_id=job_id, page_size=_PAGE)
    verdicts = verdict_pb2.ListVerdictsRequest(evaluation_id=system.names["EVALUATION-AFTER"], page_size=_PAGE)
    transcripts = transcript_pb2.ListTranscriptsRequest(test_run_id=system.names["RUN-AFTER"], page_size=_PAGE)
    items = feedback_item_pb2.ListFeedbackItemsRequest(page_size=_PAGE)
    return {
        "a long report": lambda: stubs["trainer"].ReportAttempt(report, timeout=_SECONDS),
        "a page of a curve": lambda: stubs["trainer"].ListCurvePoints(curve, timeout=_SECONDS),
        "a page of verdicts": lambda: stubs["evaluator"].ListVerdicts(verdicts, timeout=_SECONDS),
        "a page of transcripts": lambda: stubs["test_runner"].ListTranscripts(transcripts, timeout=_SECONDS),
        "a page of feedback": lambda: stubs["feedback"].ListFeedbackItems(items, timeout=_SECONDS),
    }
