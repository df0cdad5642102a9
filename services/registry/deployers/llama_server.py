"""GGUF versions served by llama.cpp's server as a child of the registry."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import structlog

from services.chassis.errors import FailedPrecondition
from services.chassis.machine.llama_server import LlamaServer, LlamaServerFault, LlamaServerOptions
from services.registry.domain.deployment import Deployment, DeploymentState, DeploymentStatus, ServedVersion
from services.registry.domain.model import ModelVersionKind

_NUM_SLOTS = 4
# Of a model whose context would take more memory than it is worth; `num_ctx` asks for more.
_MOST_CONTEXT = 8192
_LEAST_CONTEXT = 4096
_ANSWER_SECONDS = 120.0
# It does not come back by itself, as far as one can see; it is tried further all the same.
_MAX_FAILURES = 3
_LAST_PAUSE_SECONDS = 60.0
# A server that lived for so long has not failed from the start.
_STEADY_SECONDS = 60.0
_GGUF_LAYER = "application/vnd.ollama.image.model"
_LOADING = DeploymentStatus(DeploymentState.STARTING, "llama.cpp's server loads the model.")
_log = structlog.get_logger()


class LlamaServerDeployer:
    """Keeps a server for each deployment, and starts it again when it ends; the kernel ends it with this process.

    Args:
        place: Gives the local path of an artifact.
        command: The server's command.
        key_of: Gives the key that requests to a deployment show; empty for none.
        pause_seconds: The pause before the second start, which doubles with each failure.
    """

    def __init__(
        self,
        place: Callable[[str], Awaitable[Path]],
        command: Sequence[str],
        key_of: Callable[[str], str],
        *,
        pause_seconds: float = 1.0,
    ) -> None:
        self._place, self._command, self._key_of = place, command, key_of
        self._pause_seconds = pause_seconds
        self._children: dict[str, _Child] = {}

    async def serve(self, deployment: Deployment, served: ServedVersion) -> DeploymentStatus:
        """Start the deployment's server unless it is there, and say how it stands."""
        deployment_id, api_key = deployment.deployment_id, self._key_of(deployment.deployment_id)
        child = self._children.get(deployment_id)
        if child is not None and child.options.api_key != api_key:
            # The token of the installation was replaced.
            await self.remove(deployment)
            child = None
        if child is None:
            options = replace(await self._options(deployment, served), api_key=api_key)
            child = self._children[deployment_id] = _Child(self._command, options, self._pause_seconds)
            child.begin()
        return child.status

    async def remove(self, deployment: Deployment) -> bool:
        """End the deployment's server."""
        child = self._children.pop(deployment.deployment_id, None)
        if child is not None:
            await child.end()
        return True

    async def close(self) -> None:
        """End all servers."""
        children, self._children = list(self._children.values()), {}
        await asyncio.gather(*(child.end() for child in children))

    async def _options(self, deployment: Deployment, served: ServedVersion) -> LlamaServerOptions:
        folder = await self._place(served.version.artifact.uri)
        base = gguf_in(await self._place(served.base.artifact.uri)) if served.base else None
        own = gguf_in(folder, is_store=served.version.kind is ModelVersionKind.OLLAMA)
        known = min(served.version.facts.context_length or _LEAST_CONTEXT, _MOST_CONTEXT)
        return LlamaServerOptions(
            model=base or own,
            adapter=own if base else None,
            alias=deployment.spec.model_version_id,
            num_slots=_NUM_SLOTS,
            num_context_tokens=deployment.spec.num_ctx or known,
            port=_port_of(deployment.base_url),
        )


@dataclass
class _Child:
    """A server that is started again and again, and how it stands."""

    command: Sequence[str]
    options: LlamaServerOptions
    pause_seconds: float
    status: DeploymentStatus = _LOADING
    _task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        num_failures = 0
        while True:
            since = time.monotonic()
            fault = await self._live()
            num_failures = 1 if time.monotonic() - since > _STEADY_SECONDS else num_failures + 1
            _log.warning("deployment_broke", num_failures=num_failures, reason=str(fault))
            state = DeploymentState.FAILED if num_failures >= _MAX_FAILURES else DeploymentState.STARTING
            self.status = replace(self.status, state=state, reason=str(fault))
            await asyncio.sleep(min(self.pause_seconds * 2 ** (num_failures - 1), _LAST_PAUSE_SECONDS))

    async def _live(self) -> LlamaServerFault:
        """Start a server, and return what ended it."""
        port = self.options.port if _is_free(self.options.port) else 0
        server = await LlamaServer.start(self.command, replace(self.options, port=port))
        try:
            await server.ready()
            await self._try_out(server)
            base_url = f"{server.root_url}/v1"
            self.options = replace(self.options, port=_port_of(base_url))
            self.status = DeploymentStatus(DeploymentState.READY, base_url=base_url)
            await server.wait()
            return await server.fault()
        except LlamaServerFault as fault:
            return fault
        finally:
            await server.stop()

    async def _try_out(self, server: LlamaServer) -> None:
        """Return when the server has answered something as the version."""
        body = {"model": self.options.alias, "prompt": "Hello", "max_tokens": 1}
        headers = {"authorization": f"Bearer {server.api_key}"}
        try:
            async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=_ANSWER_SECONDS) as client:
                response = await client.post(f"{server.root_url}/v1/completions", json=body)
        except httpx2.HTTPError:
            raise await server.fault() from None
        if response.status_code != httpx2.codes.OK:
            raise LlamaServerFault(f"llama.cpp's server answers {response.status_code}: {response.text[:300]}")


def gguf_in(folder: Path, *, is_store: bool = False) -> Path:
    """Return the GGUF file of a version's folder, of one in parts the first; `is_store` for an Ollama store.

    Raises:
        FailedPrecondition: There is none.
    """
    if is_store:
        layers = (
            layer
            for manifest in folder.glob("manifests/*/*/*/*")
            for layer in json.loads(manifest.read_bytes())["layers"]
            if layer["mediaType"] == _GGUF_LAYER
        )
        files: list[Path] = [folder / "blobs" / layer["digest"].replace(":", "-") for layer in layers]
    else:
        files = sorted(folder.glob("*.gguf"))
    if not files or not files[0].is_file():
        raise FailedPrecondition("The version's folder has no GGUF file.", "Export or import it again.")
    return files[0]


def _port_of(base_url: str) -> int:
    return urlsplit(base_url).port or 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
