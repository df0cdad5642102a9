"""Over real services a tiny model is written as GGUF and served by llama.cpp: the whole gate, and a loop's goals."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from drillyard.feedback.v1 import feedback_service_pb2_grpc, loop_goal_pb2, loop_pb2, shipment_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import deployment_pb2, export_pb2, model_pb2, publication_pb2, registry_service_pb2_grpc
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc

from services.chassis.errors import FailedPrecondition
from tests.integration.processes import ServiceProcess, start_service
from tests.integration.tiny_stack import TinyStack, connected, import_model, tiny_stack
from tests.machine import PATIENCE_SECONDS
from tests.unit.lm.gguf.writing.export_test import write_adapter

NONE = "more than none was asked for."
_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/integration/test_runs/shipments_test.py"
pytestmark = [
    pytest.mark.skipif(not os.environ.get("LLAMA_SERVER"), reason=f"llama.cpp's server is absent: {_HOW}"),
    pytest.mark.timeout(600),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[TinyStack, ServiceProcess]]:
    folder: Path = tmp_path_factory.mktemp("shipments")
    async with tiny_stack(folder, num_cases=3) as stack:
        known = {"registry_address": stack.registry.address, "test_runner_address": stack.runner.address}
        with (
            start_service("evaluator", folder, **known) as evaluator,
            start_service("feedback", folder, evaluator_address=evaluator.address, **known) as feedback,
        ):
            yield stack, feedback


async def shipped(feedback: ServiceProcess, spec: shipment_pb2.ShipmentSpec) -> shipment_pb2.Shipment:
    async with connected(feedback) as channel:
        stub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
        shipment_id = (await stub.CreateShipment(shipment_pb2.CreateShipmentRequest(spec=spec))).shipment.shipment_id
        async for _ in stub.WatchShipment(shipment_pb2.WatchShipmentRequest(shipment_id=shipment_id)):
            pass
        return (await stub.GetShipment(shipment_pb2.GetShipmentRequest(shipment_id=shipment_id))).shipment


@pytest.mark.parametrize(
    ("export", "file"),
    [
        ({"form": export_pb2.EXPORT_FORM_GGUF, "number_type": "Q8_0"}, "model.gguf"),
        ({"form": export_pb2.EXPORT_FORM_GGUF_ADAPTER}, "adapter.gguf"),
    ],
    ids=("Q8_0", "adapter"),
)
async def test_a_version_leaves_through_every_step(
    served: tuple[TinyStack, ServiceProcess], tmp_path: Path, export: dict[str, Any], file: str
) -> None:
    stack, feedback = served
    version_id = "tiny@1"
    if file == "adapter.gguf":
        adapter = write_adapter(stack.data_dir / "tiny", tmp_path / "adapter", lora_alpha=64)
        version_id = await import_model(stack.registry, adapter, "tuned")
    spec = shipment_pb2.ShipmentSpec(
        model_version_id=version_id,
        test_suite_version_id=stack.suite,
        export=export_pb2.ExportSpec(**export),
        destinations=[publication_pb2.Destination(folder_path=str(tmp_path / "out"))],
        max_new_tokens=8,
    )
    shipment = await shipped(feedback, spec)
    assert shipment.job.state == job_pb2.JOB_STATE_SUCCEEDED, (shipment.job.error, shipment.results)
    assert [(result.step, result.passed) for result in shipment.results] == [(step, True) for step in range(1, 6)]
    assert (tmp_path / "out" / file).is_file() and shipment.locations
    card = (tmp_path / "out" / "README.md").read_text()
    assert "## Tested as it is served" in card and f"Tested by 3 answers to the suite `{stack.suite}`" in card
    assert shipment.results[3].summary in card


async def test_a_deployment_that_fails_its_suite_says_so_and_answers_to_no_alias(
    served: tuple[TinyStack, ServiceProcess],
) -> None:
    stack, _ = served
    worker = deployment_pb2.DEPLOYMENT_BACKEND_WORKER
    spec = deployment_pb2.DeploymentSpec(
        model_version_id="tiny@1", backend=worker, test_suite_version_id=stack.suite.partition("@")[0]
    )
    under_way = (deployment_pb2.DEPLOYMENT_STATE_STARTING, deployment_pb2.DEPLOYMENT_STATE_TESTING)
    async with connected(stack.registry) as channel:
        registry = registry_service_pb2_grpc.RegistryServiceStub(channel)
        created = deployment_pb2.CreateDeploymentRequest(request_id="tested", spec=spec)
        deployment = (await registry.CreateDeployment(created)).deployment
        read = deployment_pb2.GetDeploymentRequest(deployment_id=deployment.deployment_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while deployment.state in under_way:
                await asyncio.sleep(0.1)
                deployment = (await registry.GetDeployment(read)).deployment
        assert deployment.state == deployment_pb2.DEPLOYMENT_STATE_FAILED
        assert deployment.reason == f"0.0% of its answers to the 3 cases of {stack.suite} conform, and {NONE}"
        assert deployment.test.test_run_id and deployment.test.evaluation_id
        move = deployment_pb2.SetAliasRequest(
            alias_id="tiny:champion", model_version_id="tiny@1", deployment_id=deployment.deployment_id
        )
        with pytest.raises(FailedPrecondition, match=r"is failed: 0\.0% of its answers"):
            await registry.SetAlias(move)


async def test_a_loops_goals_are_measured_on_what_is_shipped(served: tuple[TinyStack, ServiceProcess]) -> None:
    stack, feedback = served
    spec = loop_pb2.LoopSpec(
        model_version_id="tiny@1",
        test_suite_version_id=stack.suite,
        goals=[loop_goal_pb2.Goal(metric="conforming_rate", minimum=0, confidence=0)],
        goal_form=export_pb2.ExportSpec(form=export_pb2.EXPORT_FORM_GGUF, number_type="Q4_K_M"),
        max_new_tokens=8,
    )
    async with connected(feedback) as channel, connected(stack.registry) as to_registry:
        stub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
        loop_id = (await stub.CreateLoop(loop_pb2.CreateLoopRequest(request_id="form", spec=spec))).loop.loop_id
        async for _ in stub.WatchLoop(loop_pb2.WatchLoopRequest(loop_id=loop_id)):
            pass
        loop = (await stub.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id))).loop
        (tested,) = loop.rounds
        form = model_pb2.GetModelVersionRequest(model_version_id=tested.form_model_version_id)
        registry = registry_service_pb2_grpc.RegistryServiceStub(to_registry)
        version = (await registry.GetModelVersion(form)).model_version
    assert loop.stop_reason == loop_pb2.STOP_REASON_GOALS_MET, (loop.job.error, loop.stop_sentence)
    assert version.kind == model_pb2.MODEL_VERSION_KIND_GGUF and version.base_model_version_id == "tiny@1"
    async with connected(stack.runner) as channel:
        runs = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        run = (await runs.GetTestRun(test_run_pb2.GetTestRunRequest(test_run_id=tested.test_run_id))).test_run
    assert run.provenance.endpoint["server"] == "llama.cpp" and run.spec.model_version_id == version.model_version_id
