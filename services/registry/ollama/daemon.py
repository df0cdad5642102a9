"""Publishing into a running Ollama: blobs, then a model under a name of its own, checked, then its final name."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import httpx2

from services.chassis.errors import AlreadyExists, FailedPrecondition, Unavailable
from services.chassis.wire.names import shown
from services.registry.oci.repository import Sent
from services.registry.ollama.names import OllamaName, parse_name
from services.registry.ollama.store import StoredModel, read_store
from services.registry.ports import Progress

_BLOCK_BYTES = 1024**2
_SECONDS = 60.0
# Ollama hashes and reads a model whole before it answers.
_CREATE_SECONDS = 3600.0
_CREATED = "success"


async def publish_to_daemon(
    source: Path, name: str, address: str, *, client: httpx2.AsyncClient, replace: bool = False, progress: Progress
) -> OllamaName:
    """Create the one model of the folder `source` in a running Ollama under `name`; progress is in bytes.

    The model gets its name only once Ollama has told that it holds what was sent.

    Args:
        source: A store folder that `write_store` wrote.
        name: The name that it gets.
        address: Of the daemon, such as `http://127.0.0.1:11434`.
        client: Sends the requests.
        replace: Whether a model of that name gives way.
        progress: Is told the bytes that the daemon has.

    Raises:
        AlreadyExists: There is a model of that name, and `replace` is false.
        FailedPrecondition: The daemon refuses the model, or made another one of it; in its own words.
        Unavailable: The daemon does not answer.
    """
    model, place, daemon = read_store(source), parse_name(name), _Daemon(client, address.rstrip("/"))
    if await daemon.show(place) is not None and not replace:
        raise AlreadyExists(f"Ollama has a model {place} already.", "Choose another name, or ask to replace it.")
    await _put_weights(daemon, model, progress)
    draft = changed(place, tag=f"drillyard-{model.manifest.config.digest[-12:]}")
    try:
        await daemon.create(_creation(model, draft))
        _check_same(model, await daemon.show(draft) or {})
        await daemon.call("POST", "/api/copy", {"source": str(draft), "destination": str(place)})
    finally:
        await daemon.delete(draft)
    return place


async def _put_weights(daemon: _Daemon, model: StoredModel, progress: Progress) -> None:
    layers = model.manifest.of_kind("model")
    done, total = 0, sum(layer.size for layer in layers)
    for layer in layers:
        start = done

        async def sent(count: int, start: int = start) -> None:
            await progress(start + count, total)

        await daemon.put_blob(layer.digest, model.path_of(layer), sent)
        done += layer.size
    await progress(done, total)


def _creation(model: StoredModel, draft: OllamaName) -> dict[str, Any]:
    layers = model.manifest.of_kind("model")
    names = ["model.gguf"] if len(layers) == 1 else _part_names(len(layers))
    config = json.loads(model.path_of(model.manifest.config).read_bytes())
    document = {
        "model": str(draft),
        "files": {name: layer.digest for name, layer in zip(names, layers, strict=True)},
        "template": model.text("template"),
        "system": model.text("system"),
        "parameters": json.loads(model.text("params") or "{}"),
        "license": list(model.texts("license")),
        **{name: config.get(name, "") for name in ("renderer", "parser", "requires")},
    }
    return {key: value for key, value in document.items() if value} | {"stream": True}


def _part_names(count: int) -> list[str]:
    return [f"model-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]


def _check_same(model: StoredModel, shown_model: Mapping[str, Any]) -> None:
    """Raise FailedPrecondition unless Ollama tells of the model what was sent."""
    parameters = json.loads(model.text("params") or "{}")
    pairs = {
        "template": (model.text("template"), shown_model.get("template", "")),
        "system message": (model.text("system"), shown_model.get("system", "")),
        "parameters": (_sent(parameters), sorted(map(_told, str(shown_model.get("parameters", "")).splitlines()))),
    }
    for what, (sent, told) in pairs.items():
        # Without a template Ollama tells of one that passes the prompt on.
        if sent != told and not (what == "template" and not sent and told.replace(" ", "") == "{{.Prompt}}"):
            raise FailedPrecondition(
                f"Ollama made another {what} of the model than was sent: {shown(str(told))}.",
                "Publish to its store folder instead, or with another version of Ollama.",
            )


def _sent(parameters: Mapping[str, Any]) -> list[str]:
    """Parameters as Ollama shows them: a line for each, and for each text of a list."""
    pairs = [
        (name, item) for name, value in parameters.items() for item in (value if isinstance(value, list) else [value])
    ]
    return sorted(f"{name} {json.dumps(_plain(item), ensure_ascii=False)}" for name, item in pairs)


def _told(line: str) -> str:
    name, _, value = line.partition(" ")
    # Ollama writes large numbers with an exponent.
    is_number = re.fullmatch(r"-?[0-9.]+(e[+-]?[0-9]+)?", value.strip())
    return f"{name} {json.dumps(float(value)) if is_number else value.strip()}"


def _plain(item: object) -> object:
    return float(item) if isinstance(item, int) and not isinstance(item, bool) else item


class _Daemon:
    def __init__(self, client: httpx2.AsyncClient, address: str) -> None:
        self._client, self._address = client, address

    async def show(self, name: OllamaName) -> dict[str, Any] | None:
        """What Ollama tells of a model; None when there is none."""
        response = await self._send("POST", "/api/show", json={"model": str(name)})
        if response.status_code == httpx2.codes.NOT_FOUND:
            return None
        document: dict[str, Any] = self._checked(response).json()
        return document

    async def call(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        self._checked(await self._send(method, path, json=body))

    async def delete(self, name: OllamaName) -> None:
        """Remove a model, or nothing where there is none."""
        await self._send("DELETE", "/api/delete", json={"model": str(name)})

    async def put_blob(self, digest: str, path: Path, sent: Sent) -> None:
        """Send a file unless Ollama has it; Ollama checks its digest."""
        head = await self._send("HEAD", f"/api/blobs/{digest}")
        if head.status_code == httpx2.codes.OK:
            return
        size = str((await asyncio.to_thread(path.stat)).st_size)
        content = _read(path, sent)
        self._checked(
            await self._send("POST", f"/api/blobs/{digest}", content=content, headers={"content-length": size})
        )

    async def create(self, body: Mapping[str, Any]) -> None:
        """Return once Ollama says that the model is there.

        Raises:
            FailedPrecondition: It says why it is not.
        """
        response = self._checked(await self._send("POST", "/api/create", json=body, seconds=_CREATE_SECONDS))
        lines = [json.loads(line) for line in response.text.splitlines() if line.strip()]
        errors = [line["error"] for line in lines if "error" in line]
        if errors or not lines or lines[-1].get("status") != _CREATED:
            raise self._refused(str(errors[0]) if errors else "it ended without a word")

    async def _send(self, method: str, path: str, *, seconds: float = _SECONDS, **request: Any) -> httpx2.Response:
        timeout = httpx2.Timeout(seconds, connect=10)
        try:
            return await self._client.request(method, self._address + path, timeout=timeout, **request)
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"No Ollama answers at {self._address} ({type(error).__name__}).", "Start it with `ollama serve`."
            ) from error

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if response.is_success:
            return response
        try:
            words = str(response.json()["error"])
        except (ValueError, LookupError, TypeError):
            words = f"status {response.status_code}"
        raise self._refused(words)

    def _refused(self, words: str) -> FailedPrecondition:
        return FailedPrecondition(
            f"Ollama at {self._address} refuses the model: {shown(words)}.", "Mend what it says, then publish again."
        )


async def _read(path: Path, sent: Sent) -> AsyncIterator[bytes]:
    done = 0
    with path.open("rb") as stream:
        while block := await asyncio.to_thread(stream.read, _BLOCK_BYTES):
            yield block
            done += len(block)
            await sent(done)
