"""Pulls from a registry that speaks Ollama's protocol, with every fault that real ones have."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets
from services.registry.domain.model_import import FetchedModel, ImportSource, SourceKind
from services.registry.downloads.download import Downloader
from services.registry.downloads.transfer import DownloadLimits
from services.registry.ollama.manifest import LAYER_PREFIX, MANIFEST_TYPE, Layer, Manifest, layer_of
from services.registry.ollama.pulling import OllamaSource
from services.registry.ollama.store import publish_to_store, read_store
from tests.unit.registry.ollama.store_test import WEIGHTS, ignore, write_artifact
from tests.unit.registry.sources.file_server import Asked, FileServer, Reply, serving_files
from tests.unit.registry.sources.imports import fetch_place

MODEL = "/v2/library/roo"
# Another host than the registry's to a client, though it is this machine too.
STORAGE_HOST = "127.0.0.2"
BLOB = f"{MODEL}/blobs/sha256:{hashlib.sha256(WEIGHTS).hexdigest()}"


@dataclass
class Pull:
    """A registry that holds a model, and what it takes to pull from it."""

    server: FileServer
    folder: Path
    stores: list[Path] = field(default_factory=list)
    secret: str = ""
    room_bytes: int = 1 << 40
    environment: dict[str, str] = field(default_factory=lambda: {"REGISTRY_SECRET_LOGIN": "coder:hunter2"})

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.server.port}/library/roo:1"

    def check_space(self, num_bytes: int, _written: int) -> None:
        if num_bytes > self.room_bytes:
            raise ResourceExhausted("No room.")

    async def fetch(self, name: str = "") -> FetchedModel:
        secrets = Secrets("REGISTRY_", None, self.environment)
        policy = HostPolicy((), secrets, variables=HostVariables("REGISTRY_HOSTS", "REGISTRY_SECRET_HOSTS"))
        downloader = Downloader(policy, DownloadLimits(part_bytes=4096, num_tries=3))
        source = ImportSource(SourceKind.OLLAMA_TAG, name or self.name, self.secret)
        ollama = OllamaSource(policy, downloader, self.stores)
        ollama.check(source)
        return await ollama.fetch(source, fetch_place(self.folder, ignore, self.check_space))

    @property
    def blob_requests(self) -> list[Asked]:
        return [asked for asked in self.server.requests if "/blobs/" in asked.path and asked.method == "GET"]


@pytest.fixture
async def pull(tmp_path: Path) -> AsyncIterator[Pull]:
    model = read_store(write_artifact(tmp_path / "source"))
    async with serving_files() as server:
        server.files[f"{MODEL}/manifests/1"] = model.content
        for layer in model.manifest.blobs:
            server.files[f"{MODEL}/blobs/{layer.digest}"] = model.path_of(layer).read_bytes()
        yield Pull(server, tmp_path / "fetched")


def offer(server: FileServer, manifest: Manifest) -> None:
    server.files[f"{MODEL}/manifests/1"] = manifest.to_bytes()


async def test_a_model_comes_with_what_ollama_knows_of_it(pull: Pull) -> None:
    model = await pull.fetch()
    assert model.path.read_bytes() == WEIGHTS
    assert model.uri.startswith(f"ollama:{pull.name}@sha256:")
    facts = json.loads((model.path.parent / "ollama.json").read_text())
    assert facts["parameters"] == {"stop": ["<|im_end|>", "é"], "num_ctx": 1 << 20}
    assert (facts["system"], facts["licenses"], facts["config"]["parser"]) == (
        "Be brief.",
        ["Apache-2.0"],
        "qwen3-coder",
    )
    assert facts["template"].startswith("{{ range .Messages }}")
    assert [asked.headers["accept"] for asked in pull.server.requests[:1]] == [MANIFEST_TYPE]
    assert "quantised (Q8_0)" in model.notes[0]


async def test_a_licence_that_forbids_derivatives_is_told(pull: Pull) -> None:
    model, licence = read_store(pull.folder.parent / "source"), b"CC BY-NC-ND 4.0"
    layer = layer_of("license", licence)
    pull.server.files[f"{MODEL}/blobs/{layer.digest}"] = licence
    offer(pull.server, Manifest(model.manifest.config, (*model.manifest.layers, layer)))
    assert "forbids derivatives" in (await pull.fetch()).notes[-1]


@asynccontextmanager
async def storage(pull: Pull) -> AsyncIterator[FileServer]:
    """The registry asks for a token and sends its callers to another host for blobs."""

    def answer(asked: Asked) -> Reply | None:
        if asked.path.startswith("/token"):
            is_known = asked.headers.get("authorization") == "Basic Y29kZXI6aHVudGVyMg=="
            return Reply(200 if is_known else 401, {}, b'{"token": "t0k"}')
        if asked.headers.get("authorization") != "Bearer t0k":
            realm = f'Bearer realm="{pull.server.url}/token",service="s",scope="repository:library/roo:pull"'
            return Reply(401, {"www-authenticate": realm})
        if "/blobs/" in asked.path and asked.method == "GET":
            return Reply(307, {"location": f"http://{STORAGE_HOST}:{other.port}{asked.path}?sig=1"})
        return None

    async with serving_files(STORAGE_HOST) as other:
        other.files.update(pull.server.files)
        pull.server.answer, pull.secret = answer, "login"
        yield other


async def test_the_host_that_a_registry_redirects_to_sees_no_token(pull: Pull) -> None:
    async with storage(pull) as other:
        model = await pull.fetch()
    assert model.path.read_bytes() == WEIGHTS
    assert other.requests and not [asked for asked in other.requests if "authorization" in asked.headers]
    tokens = [asked.path for asked in pull.server.requests if asked.path.startswith("/token")]
    assert tokens == ["/token?service=s&scope=repository%3Alibrary%2Froo%3Apull"]


async def test_a_registry_that_sends_for_a_token_to_another_host_gets_no_secret(pull: Pull) -> None:
    async with serving_files(STORAGE_HOST) as other:
        challenge = f'Bearer realm="http://{STORAGE_HOST}:{other.port}/token"'
        pull.server.answer = lambda _: Reply(401, {"www-authenticate": challenge})
        pull.secret = "login"
        with pytest.raises(PermissionDenied, match="another host"):
            await pull.fetch()
        assert not other.requests


async def test_a_connection_that_breaks_costs_the_missing_bytes_alone(pull: Pull) -> None:
    cuts = [700, 900, 1100]

    def answer(asked: Asked) -> Reply | None:
        if asked.path != BLOB or not cuts or "range" not in asked.headers or asked.headers["range"] == "bytes=0-0":
            return None
        begin, _, end = asked.headers["range"].removeprefix("bytes=").partition("-")
        span = {"content-range": f"bytes {begin}-{end}/{len(WEIGHTS)}"}
        return Reply(206, span, WEIGHTS[int(begin) : int(end) + 1], cut=cuts.pop())

    pull.server.answer = answer
    assert (await pull.fetch()).path.read_bytes() == WEIGHTS
    assert not cuts


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WEIGHTS[:-1] + b"x", "has digest"),
        (WEIGHTS[:-1], "announced"),
        (WEIGHTS + b"x", "announced"),
    ],
)
async def test_a_blob_that_is_not_what_the_manifest_says_is_never_visible(
    pull: Pull, content: bytes, words: str
) -> None:
    pull.server.files[BLOB] = content
    with pytest.raises(FailedPrecondition, match=words):
        await pull.fetch()
    assert not (pull.folder / "model.gguf").exists()


@pytest.mark.parametrize(
    ("kinds", "words"), [(("tensor", "json"), "tensor by tensor"), (("model", "adapter"), "adapter")]
)
async def test_a_model_that_cannot_be_imported_is_refused_before_any_blob(
    pull: Pull, kinds: tuple[str, ...], words: str
) -> None:
    config = read_store(pull.folder.parent / "source").manifest.config
    offer(pull.server, Manifest(config, tuple(Layer(LAYER_PREFIX + kind, config.digest, 1) for kind in kinds)))
    with pytest.raises(InvalidArgument, match=words):
        await pull.fetch()
    assert len(pull.server.requests) == 1


async def test_a_disk_without_room_is_told_before_the_first_byte(pull: Pull) -> None:
    pull.room_bytes = len(WEIGHTS)
    with pytest.raises(ResourceExhausted, match="No room"):
        await pull.fetch()
    assert not pull.blob_requests


async def test_a_blob_in_ollamas_own_store_is_used_when_it_is_whole(pull: Pull, tmp_path: Path) -> None:
    store = tmp_path / "models"
    store.mkdir()
    await publish_to_store(tmp_path / "source", "other", store, progress=ignore)
    pull.stores = [tmp_path / "none", store]
    assert (await pull.fetch()).path.read_bytes() == WEIGHTS
    assert not pull.blob_requests

    blob = store / "blobs" / BLOB.rpartition("/")[2].replace(":", "-")
    blob.write_bytes(WEIGHTS[:-1] + b"x")
    assert (await pull.fetch()).path.read_bytes() == WEIGHTS
    assert {asked.path for asked in pull.blob_requests} == {BLOB}


async def test_without_the_registry_the_store_on_this_machine_is_enough(pull: Pull, tmp_path: Path) -> None:
    store, name = tmp_path / "models", "127.0.0.1:9/library/roo:1"
    store.mkdir()
    with pytest.raises(Unavailable, match="does not answer"):
        await pull.fetch(name)
    await publish_to_store(tmp_path / "source", name, store, progress=ignore)
    pull.stores = [store]
    model = await pull.fetch(name)
    assert model.path.read_bytes() == WEIGHTS
    assert model.notes[0].startswith("The model of Ollama's store on this machine was taken")


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (None, NotFound, "has no model library/roo with the tag 2"),
        (Reply(403), PermissionDenied, "status 403"),
        (Reply(412, {}, b'{"error": "requires a newer version"}'), FailedPrecondition, "requires a newer version"),
        (Reply(200, {}, b"<html>"), InvalidArgument, "no manifest"),
    ],
)
async def test_a_registry_that_has_no_manifest_is_told_in_its_own_words(
    pull: Pull, reply: Reply | None, error: type[ServiceError], words: str
) -> None:
    pull.server.answer = lambda _: reply
    with pytest.raises(error, match=words):
        await pull.fetch(pull.name.replace(":1", ":2") if reply is None else "")
