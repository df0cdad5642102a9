"""Publishing to a running Ollama, which a fake stands for: it speaks `/api/…` as 0.33 does, and runs nothing."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, Unavailable
from services.registry.ollama.daemon import publish_to_daemon
from tests.unit.registry.ollama.store_test import WEIGHTS, ignore, write_artifact

ADDRESS = "http://127.0.0.1:11434"
NAME = "registry.ollama.ai/library/roo:1"


@dataclass
class FakeDaemon:
    """Keeps blobs and models; `distort` changes what it makes of a model."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_line: dict[str, str] = field(default_factory=lambda: {"status": "success"})
    distort: Callable[[dict[str, Any]], None] = lambda _: None

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        content = await request.aread()
        if request.url.path.startswith("/api/blobs/"):
            return self._blob(request.method, request.url.path.removeprefix("/api/blobs/"), content)
        body = json.loads(content)
        answer = getattr(self, f"_{request.url.path.removeprefix('/api/')}")
        response: httpx2.Response = answer(body)
        return response

    def _blob(self, method: str, digest: str, content: bytes) -> httpx2.Response:
        if method == "HEAD":
            return httpx2.Response(200 if digest in self.blobs else 404)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            return httpx2.Response(400, json={"error": "digest mismatch"})
        self.blobs[digest] = content
        return httpx2.Response(201)

    def _create(self, body: dict[str, Any]) -> httpx2.Response:
        assert all(digest in self.blobs for digest in body["files"].values())
        if self.last_line == {"status": "success"}:
            self.distort(body)
            self.models[body["model"]] = body
        lines = [{"status": "parsing GGUF"}, self.last_line]
        return httpx2.Response(200, text="".join(json.dumps(line) + "\n" for line in lines))

    def _show(self, body: dict[str, Any]) -> httpx2.Response:
        model = self.models.get(body["model"])
        if model is None:
            return httpx2.Response(404, json={"error": f"model '{body['model']}' not found"})
        parameters = [
            f"{name:30} {'1.048576e+06' if item == 1 << 20 else json.dumps(item, ensure_ascii=False)}"
            for name, value in model["parameters"].items()
            for item in (value if isinstance(value, list) else [value])
        ]
        shown = {"template": model.get("template", "{{ .Prompt }}"), "system": model.get("system", "")}
        return httpx2.Response(200, json=shown | {"parameters": "\n".join(parameters)})

    def _copy(self, body: dict[str, Any]) -> httpx2.Response:
        self.models[body["destination"]] = self.models[body["source"]]
        return httpx2.Response(200)

    def _delete(self, body: dict[str, Any]) -> httpx2.Response:
        return httpx2.Response(200 if self.models.pop(body["model"], None) else 404)


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
async def client(daemon: FakeDaemon) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(daemon.answer)) as client:
        yield client


async def test_a_model_is_created_from_its_blobs_and_only_its_name_stays(
    daemon: FakeDaemon, client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    source, seen = write_artifact(tmp_path / "new"), []

    async def record(done: int, total: int) -> None:
        seen.append((done, total))

    await publish_to_daemon(source, "roo:1", ADDRESS, client=client, progress=record)
    assert list(daemon.models) == [NAME]
    model = daemon.models[NAME]
    assert [daemon.blobs[digest] for digest in model["files"].values()] == [WEIGHTS]
    assert (model["parser"], model["license"], "renderer" in model) == ("qwen3-coder", ["Apache-2.0"], False)
    assert seen[-1] == (len(WEIGHTS), len(WEIGHTS))

    with pytest.raises(AlreadyExists, match="has a model"):
        await publish_to_daemon(source, "roo:1", ADDRESS, client=client, progress=ignore)
    await publish_to_daemon(source, "roo:1", ADDRESS, client=client, replace=True, progress=ignore)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("template", "{{ .Prompt }} {{ .Response }}", "another template"),
        ("system", "You are an AI.", "another system message"),
        ("parameters", {"stop": ["<|im_end|>", "é"], "num_ctx": 2048}, "another parameters"),
        ("parameters", {"stop": ["<|im_end|>"], "num_ctx": 1 << 20}, "another parameters"),
    ],
)
async def test_a_model_that_ollama_made_otherwise_gets_no_name(
    daemon: FakeDaemon, client: httpx2.AsyncClient, tmp_path: Path, key: str, value: object, words: str
) -> None:
    daemon.distort = lambda body: body.update({key: value})
    with pytest.raises(FailedPrecondition, match=words):
        await publish_to_daemon(write_artifact(tmp_path / "new"), "roo:1", ADDRESS, client=client, progress=ignore)
    assert not daemon.models


@pytest.mark.parametrize("line", [{"error": "unsupported architecture"}, {"status": "writing manifest"}])
async def test_a_creation_that_does_not_end_in_success_fails_in_ollamas_words(
    daemon: FakeDaemon, client: httpx2.AsyncClient, tmp_path: Path, line: dict[str, str]
) -> None:
    daemon.last_line = line
    with pytest.raises(FailedPrecondition, match=line.get("error", "ended without a word")):
        await publish_to_daemon(write_artifact(tmp_path / "new"), "roo:1", ADDRESS, client=client, progress=ignore)
    assert not daemon.models


async def test_a_daemon_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with httpx2.AsyncClient() as client:
        with pytest.raises(Unavailable, match="No Ollama answers at"):
            await publish_to_daemon(
                write_artifact(tmp_path / "new"), "roo:1", "http://127.0.0.1:9", client=client, progress=ignore
            )
