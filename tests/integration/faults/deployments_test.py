"""A version that the real registry serves by llama.cpp's real server: asked through test-runner, killed and back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from drillyard.registry.v1 import artifact_pb2, import_pb2, model_pb2
from drillyard.registry.v1 import deployment_pb2 as pb
from drillyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from drillyard.test_runner.v1.test_runner_service_pb2_grpc import TestRunnerServiceStub
from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest

from services.chassis.artifacts import ArtifactStore
from services.chassis.channel import open_channel
from services.chassis.errors import FailedPrecondition
from services.chassis.machine.parent import ServiceToken
from tests.integration.processes import ServiceProcess, start_service
from tests.machine import PATIENCE_SECONDS
from tests.unit.lm.gguf.models import write
from ui.openai.served import endpoint_of

_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/integration/faults/deployments_test.py"
WAITS = "It waits until test-runner has an answer of it."
pytestmark = pytest.mark.skipif(not os.environ.get("LLAMA_SERVER"), reason=f"llama.cpp's server is absent: {_HOW}")


@asynccontextmanager
async def stub_of(process: ServiceProcess, token: ServiceToken, kind: Any) -> AsyncIterator[Any]:
    channel = open_channel(process.address, token=token)
    try:
        yield kind(channel)
    finally:
        await channel.close()


async def register_gguf(registry: Any, folder: Path) -> str:
    """Register a tiny model as base, and its GGUF file as a version of its own."""
    (folder / "gguf").mkdir(parents=True)
    write(folder / "gguf" / "model.gguf")
    source = import_pb2.ImportSource(gguf_path=str(folder / "gguf" / "model.gguf"))
    job = await registry.CreateImport(import_pb2.CreateImportRequest(model_id="tiny", source=source))
    async for _ in registry.WatchImport(import_pb2.WatchImportRequest(import_id=job.model_import.import_id)):
        pass
    stored = await ArtifactStore((folder / "data" / "other").as_uri()).put_tree(folder / "gguf")
    request = model_pb2.CreateModelVersionRequest(
        model_id="tiny-gguf",
        kind=model_pb2.MODEL_VERSION_KIND_GGUF,
        base_model_version_id="tiny@1",
        artifact=artifact_pb2.Artifact(uri=stored.uri, digest=stored.digest, size_bytes=stored.size_bytes),
    )
    return str((await registry.CreateModelVersion(request)).model_version.model_version_id)


async def ready(registry: Any, deployment_id: str) -> pb.Deployment:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            request = pb.GetDeploymentRequest(deployment_id=deployment_id)
            deployment = (await registry.GetDeployment(request)).deployment
            assert deployment.state != pb.DEPLOYMENT_STATE_FAILED, deployment.reason
            if deployment.state == pb.DEPLOYMENT_STATE_READY and servers():
                return deployment
            await asyncio.sleep(0.1)


def servers() -> list[psutil.Process]:
    """The servers of this test's services that live."""
    living = []
    for child in psutil.process_iter(["cmdline", "status"]):
        command = child.info["cmdline"] or []
        if "tiny-gguf@1" in command and "--alias" in command and child.info["status"] != psutil.STATUS_ZOMBIE:
            living.append(child)
    return living


async def test_a_killed_registry_leaves_no_server_and_serves_again_at_the_same_place(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    token = ServiceToken.make(data / "token")
    with start_service("registry", data, token_file=data / "token") as process:
        async with stub_of(process, token, RegistryServiceStub) as registry:
            version_id = await register_gguf(registry, tmp_path)
            spec = pb.DeploymentSpec(model_version_id=version_id)
            created = (await registry.CreateDeployment(pb.CreateDeploymentRequest(spec=spec))).deployment
            assert created.spec.backend == pb.DEPLOYMENT_BACKEND_LLAMA_SERVER
            first = await ready(registry, created.deployment_id)
            move = pb.SetAliasRequest(
                alias_id="tiny:champion", model_version_id=version_id, deployment_id=created.deployment_id
            )
            await registry.SetAlias(move)
            with pytest.raises(FailedPrecondition, match="tiny:champion"):
                await registry.DeleteDeployment(pb.DeleteDeploymentRequest(deployment_id=created.deployment_id))
        process.kill()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while servers():
            await asyncio.sleep(0.05)
    with start_service("registry", data, token_file=data / "token") as process:
        async with stub_of(process, token, RegistryServiceStub) as registry:
            second = await ready(registry, created.deployment_id)
            assert (second.base_url, len(servers())) == (first.base_url, 1)
            async with runner_beside(process.address, data, token) as runner:
                assert await answer_of(runner, second) == "ZZZ"
                spec = pb.DeploymentSpec(model_version_id=version_id, backend=pb.DEPLOYMENT_BACKEND_WORKER)
                created = (await registry.CreateDeployment(pb.CreateDeploymentRequest(spec=spec))).deployment
                assert (created.state, created.reason) == (pb.DEPLOYMENT_STATE_STARTING, WAITS)
                by_worker = await ready(registry, created.deployment_id)
                assert (by_worker.base_url, by_worker.reason) == ("", "")
            assert token.key_of(f"deployment-{created.deployment_id}") not in process.log()
    assert not servers()


@asynccontextmanager
async def runner_beside(address: str, data: Path, token: ServiceToken) -> AsyncIterator[Any]:
    settings = {"registry_address": address, "token_file": data / "token"}
    with start_service("test_runner", data, **settings) as process:
        async with stub_of(process, token, TestRunnerServiceStub) as runner:
            yield runner


async def answer_of(runner: Any, deployment: pb.Deployment) -> str:
    request = GenerateRequest(prompt="abc", endpoint=endpoint_of(deployment))
    request.sampling.max_new_tokens = 3
    return "".join([response.text_delta async for response in runner.Generate(request)])
