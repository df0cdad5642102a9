"""One call at the gateway is one trace to the end of the job that it makes, as a collector receives it by OTLP."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from drillyard.test_runner.v1 import test_runner_service_pb2_grpc

from tests.integration.processes import ServiceProcess, start_service
from tests.integration.telemetry.collector import Collector, collecting
from tests.integration.telemetry.prometheus import wait_until
from tests.integration.tiny_stack import MODEL, TinyStack, a_worker, connected, finished_run, tiny_stack
from tests.machine import PATIENCE_SECONDS

pytestmark = pytest.mark.timeout(300)

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
KEY = "canary-of-the-collector"
RUNNER, REGISTRY = "drillyard.test_runner.v1.TestRunnerService", "drillyard.registry.v1.RegistryService"
STEPS = {
    ("drillyard-gateway", "POST /api/v1/test-runs"),
    ("drillyard-test_runner", f"{RUNNER}/CreateTestRun"),
    ("drillyard-registry", f"{REGISTRY}/GetModelVersion"),
    ("drillyard-test_runner", "job test_run"),
    ("drillyard-test_runner", "generation worker: generate"),
}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={KEY}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield running


def create_run(gateway: ServiceProcess, stack: TinyStack) -> str:
    spec = {"model_version_id": MODEL, "test_suite_version_id": stack.suite, "dtype": "float32"}
    body = json.dumps({**spec, "sampling": {"max_new_tokens": 8}}).encode()
    headers = {"Content-Type": "application/json", "traceparent": f"00-{TRACE}-{CALLER}-01"}
    request = urllib.request.Request(f"http://{gateway.address}/api/v1/test-runs?evaluate=false", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return str(json.load(answer)["test_run"]["test_run_id"])


async def test_a_call_at_the_gateway_is_one_trace_to_the_end_of_its_job(collector: Collector, tmp_path: Path) -> None:
    async with tiny_stack(tmp_path, num_cases=2) as stack:
        addresses = {"registry_address": stack.registry.address, "test_runner_address": stack.runner.address}
        with start_service("gateway", tmp_path, port=0, **addresses) as gateway:
            run_id = await asyncio.to_thread(create_run, gateway, stack)
            async with connected(stack.runner) as channel:
                run = await finished_run(test_runner_service_pb2_grpc.TestRunnerServiceStub(channel), run_id)
            assert run.num_transcripts == 2
            environment = (await a_worker(stack.runner)).environ()

        def steps() -> set[tuple[str, str]]:
            return {(each.service, each.span.name) for each in collector.of_trace(TRACE).values()}

        await asyncio.to_thread(wait_until, lambda: steps() >= STEPS, lambda: f"received: {steps()}")
    trace = collector.of_trace(TRACE)
    parents = {each.span.parent_span_id for each in trace.values()}
    assert parents - trace.keys() == {bytes.fromhex(CALLER)}
    named = {each.span.name: each.span for each in trace.values()}
    created, job = named[f"{RUNNER}/CreateTestRun"], named["job test_run"]
    assert job.parent_span_id == created.span_id
    assert named["generation worker: generate"].parent_span_id == job.span_id
    assert job.end_time_unix_nano > created.end_time_unix_nano
    # Whoever computes is told where spans go, and no secret.
    assert collector.keys == {KEY} and environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == collector.endpoint
    assert KEY not in environment.values()
    told = [text for each in collector.spans.values() for text in each.texts]
    assert not [text for text in told if not re.fullmatch(r"[\w .:/{}-]{0,120}", text)]
    assert not [text for text in told if KEY in text or str(Path.home()) in text or str(tmp_path) in text]
