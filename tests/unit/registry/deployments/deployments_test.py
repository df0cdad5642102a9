"""Versions served by llama.cpp's real server: ready when they answer, back when they die, quoted when they cannot."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import psutil
import pytest

from services.chassis.artifacts import Artifact
from services.chassis.machine.llama_server import llama_server_command
from services.registry.deployers.llama_server import LlamaServerDeployer
from services.registry.domain.deployment import (
    Deployment,
    DeploymentBackend,
    DeploymentSpec,
    DeploymentState,
    DeploymentStatus,
    ServedVersion,
)
from services.registry.domain.model import ModelFacts, ModelVersion, ModelVersionKind
from tests.machine import PATIENCE_SECONDS, command_of
from tests.unit.lm.gguf.models import write

_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/unit/registry/deployments/deployments_test.py"
pytestmark = pytest.mark.skipif(not os.environ.get("LLAMA_SERVER"), reason=f"llama.cpp's server is absent: {_HOW}")
NOW = datetime(2026, 11, 29, tzinfo=UTC)


def served(folder: Path) -> ServedVersion:
    return ServedVersion(
        ModelVersion(
            request_id="",
            artifact=Artifact(str(folder), "sha256:0", 1),
            produced_by="",
            model_id="tiny",
            kind=ModelVersionKind.GGUF,
            base_model_version_id="tiny@1",
            source=None,
            facts=ModelFacts("llama", 1, 256),
            version=2,
            create_time=NOW,
        )
    )


def deployment(base_url: str = "") -> Deployment:
    spec = DeploymentSpec("tiny@2", DeploymentBackend.LLAMA_SERVER, "", 1, 0, 0)
    return Deployment("tiny-2-abc", "", spec, DeploymentState.STARTING, "", base_url, NOW, NOW)


@pytest.fixture
async def deployer() -> AsyncIterator[LlamaServerDeployer]:
    async def place(uri: str) -> Path:
        return Path(uri)

    one = LlamaServerDeployer(place, llama_server_command(), lambda name: f"key of {name}", pause_seconds=0.05)
    yield one
    await one.close()
    assert not children()


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "--alias" in command_of(child)]


async def until(deployer: LlamaServerDeployer, folder: Path, state: DeploymentState) -> DeploymentStatus:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (status := await deployer.serve(deployment(), served(folder))).state is not state:
            await asyncio.sleep(0.05)
    return status


async def test_a_deployment_answers_with_its_key_and_comes_back_at_its_place_when_it_dies(
    deployer: LlamaServerDeployer, tmp_path: Path
) -> None:
    write(tmp_path / "model.gguf")
    status = await until(deployer, tmp_path, DeploymentState.READY)
    async with httpx2.AsyncClient(trust_env=False) as client:
        body = {"model": "tiny@2", "prompt": "abc", "max_tokens": 2}
        assert (await client.post(f"{status.base_url}/completions", json=body)).status_code == 401
        headers = {"authorization": "Bearer key of tiny-2-abc"}
        answer = await client.post(f"{status.base_url}/completions", json=body, headers=headers)
        assert answer.json()["choices"][0]["text"] == "ZZ"
    (child,) = children()
    assert "key of" not in " ".join(child.cmdline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait(PATIENCE_SECONDS)
    assert (await until(deployer, tmp_path, DeploymentState.STARTING)).base_url == status.base_url
    assert await until(deployer, tmp_path, DeploymentState.READY) == status
    assert len(children()) == 1
    assert await deployer.remove(deployment())


async def test_a_file_that_cannot_be_served_fails_in_the_servers_own_words(
    deployer: LlamaServerDeployer, tmp_path: Path
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(60))
    status = await until(deployer, tmp_path, DeploymentState.FAILED)
    assert "llama.cpp's server ended with code 1" in status.reason and "model.gguf" in status.reason
