"""Every planted bug of a form is named by a whole shipment's gate: its step and its class, over real services."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from drillyard.feedback.v1 import shipment_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import artifact_pb2, model_pb2, registry_service_pb2_grpc

from services.chassis.artifacts import ArtifactStore
from services.feedback.clients.forms import GrpcForms
from services.feedback.clients.registry import GrpcRegistry
from services.feedback.clients.test_runner import GrpcTestRunner
from services.feedback.domain.shipment import GateStep
from services.feedback.domain.work import Asked, ModelFacts, TestOrder
from services.feedback.gate.numbers import RowScore
from services.feedback.gate.prompts import RenderedPrompt
from services.feedback.gate.rows import GateRow
from services.protocols.profile import get_profile
from tests.integration.test_runs.planted_forms import write_form, write_weights
from tests.integration.tiny_stack import TinyStack, add_suite, connected, tiny_stack
from tests.unit.feedback.shipping.shipment_job_test import Bench
from tests.unit.feedback.shipping.world import FakeExports, ShippingWorld

_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/integration/test_runs/planted_faults_test.py"
pytestmark = [
    pytest.mark.skipif(not os.environ.get("LLAMA_SERVER"), reason=f"llama.cpp's server is absent: {_HOW}"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]
TRAINED, UNTRAINED = "trained@1", "untrained@1"
_FEW = 6


class RememberingForms(GrpcForms):
    """Asks the version and what it was trained from once, however many forms are compared with them."""

    def __init__(self, channel: Any) -> None:
        super().__init__(channel)
        self._known: dict[Any, Any] = {}

    async def render(self, model: Asked, row: GateRow) -> RenderedPrompt:
        key = model.model_version_id, row.name, len(row.tools)
        if key not in self._known:
            self._known[key] = await super().render(model, row)
        prompt: RenderedPrompt = self._known[key]
        return prompt

    async def finished_run(self, order: TestOrder) -> str:
        return ""

    async def score(self, model_version_id: str, rows: Any, *, max_tokens: int = 0) -> list[RowScore]:
        key = model_version_id, max_tokens, repr(rows)
        if key not in self._known or model_version_id not in (TRAINED, UNTRAINED):
            # llama.cpp's server is asked token by token, and a few tell the faults.
            most = max_tokens or (0 if model_version_id == TRAINED else _FEW)
            self._known[key] = await super().score(model_version_id, rows, max_tokens=most)
        scores: list[RowScore] = self._known[key]
        return scores


class World(ShippingWorld):
    """A real registry and test runner; what writes forms has a fault, and none passes so far that it is judged."""

    def __init__(self, folder: Path, channels: Any, suite: str) -> None:
        super().__init__()
        registry, runner = channels
        self._store = ArtifactStore((folder / "made_up").as_uri())
        self.stub = registry_service_pb2_grpc.RegistryServiceStub(registry)
        self.registry, self.test_runner = GrpcRegistry(registry), GrpcTestRunner(runner)  # type: ignore[assignment]
        self.forms, self.suite = RememberingForms(runner), suite  # type: ignore[assignment]

    async def register(self, folder: Path, model_id: str, kind: Any, base: str = "") -> str:
        tree = await self._store.put_tree(folder)
        request = model_pb2.CreateModelVersionRequest(
            request_id=model_id,
            model_id=model_id,
            kind=kind,
            base_model_version_id=base,
            artifact=artifact_pb2.Artifact(uri=tree.uri, digest=tree.digest, size_bytes=tree.size_bytes),
        )
        return str((await self.stub.CreateModelVersion(request)).model_version.model_version_id)


class PlantedExports(FakeExports):
    """Has one form registered, whatever it is asked for."""

    def __init__(self, form: str) -> None:
        super().__init__("export")
        self._form = form

    async def form(self, export_id: str) -> str:
        return self._form

    async def model(self, model_version_id: str) -> ModelFacts:
        return ModelFacts(model_version_id, UNTRAINED if model_version_id == TRAINED else "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("planted")
    async with AsyncExitStack() as ending:
        stack: TinyStack = await ending.enter_async_context(tiny_stack(folder, num_cases=1))
        # One that is answered at once, and one with a history of calls.
        cases = [case for case in get_profile("roo_native").suites()[0].cases if not case.solution][:1]
        suite = await add_suite(stack.registry, folder, "roo_native/small", cases)
        services = [await ending.enter_async_context(connected(service)) for service in (stack.registry, stack.runner)]
        world = World(folder, services, suite)
        for model_id in ("untrained", "trained"):
            weights = write_weights(folder / model_id, is_trained=model_id == "trained")
            await world.register(weights, model_id, model_pb2.MODEL_VERSION_KIND_BASE)
        yield world


@pytest.mark.parametrize(
    ("fault", "size", "step", "kind"),
    [
        ("template without tools", "full", GateStep.PROMPTS, "template"),
        ("injected system line", "compact", GateStep.PROMPTS, "system injected"),
        ("missing stop", "compact", GateStep.PROMPTS, "stop"),
        ("base shipped as merged", "compact", GateStep.LOG_PROBS, "weights"),
        ("head re-tied", "compact", GateStep.LOG_PROBS, "weights"),
        ("function text printed as a Go struct", "full", GateStep.PROMPTS, "function text"),
        ("doubled BOS", "compact", GateStep.PROMPTS, "special tokens"),
        ("4-bit type that loses what was trained", "compact", GateStep.LOG_PROBS, "weights"),
    ],
)
async def test_the_gate_names_the_planted(
    world: World, tmp_path: Path, fault: str, size: str, step: GateStep, kind: str
) -> None:
    """Prompts of the size "full" have function definitions and calls beside the messages."""
    form = write_form(tmp_path / "form", fault)
    is_store = form.suffix == ".store"
    served_as = model_pb2.MODEL_VERSION_KIND_OLLAMA if is_store else model_pb2.MODEL_VERSION_KIND_GGUF
    model_id = fault.replace(" ", "-").lower()
    world.exports = PlantedExports(await world.register(form, model_id, served_as, TRAINED))
    asked = {
        "model_version_id": TRAINED,
        "test_suite_version_id": world.suite,
        "prompt_size": size,
        "max_new_tokens": 8,
    }
    shipment = await Bench(world=world).shipped(**asked)
    assert shipment.job.state == job_pb2.JOB_STATE_FAILED and not shipment.locations
    refused = shipment.results[-1]
    assert shipment_pb2.GateStep.Name(refused.step) == f"GATE_STEP_{step}" and not refused.passed, shipment.results
    assert {difference.partition(":")[0] for difference in refused.differences} == {kind}, refused.differences
    assert f"does not pass the step {step.replace('_', ' ').lower()}: {kind}:" in shipment.job.error.problem
