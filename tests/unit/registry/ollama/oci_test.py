"""OCI artifacts in Debian's docker-registry, pushed and pulled again."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from services.chassis.errors import AlreadyExists, InvalidArgument, NotFound
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets
from services.registry.domain.model_import import FetchedModel, ImportSource, SourceKind
from services.registry.domain.publication import Package
from services.registry.downloads.download import Downloader
from services.registry.downloads.transfer import DownloadLimits
from services.registry.jobs.publishers.oci import OciPublisher
from services.registry.oci.artifact import MANIFEST_TYPES, push_artifact, read_files
from services.registry.oci.pulling import OciSource
from services.registry.oci.reference import parse_reference
from services.registry.oci.repository import Repository
from tests.unit.registry.exports.shipping_registry import PLACE
from tests.unit.registry.ollama.docker_registry import LOGIN, docker_registry
from tests.unit.registry.ollama.store_test import ignore
from tests.unit.registry.sources.imports import fetch_place

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient() as client:
        yield client


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with docker_registry(tmp_path, needs_login=True) as host:
        yield host


async def pulled(folder: Path, reference: str) -> FetchedModel:
    secrets = Secrets("REGISTRY_", None, {"REGISTRY_SECRET_LOGIN": LOGIN})
    policy = HostPolicy((), secrets, variables=HostVariables("REGISTRY_HOSTS", "REGISTRY_SECRET_HOSTS"))
    oci = OciSource(policy, Downloader(policy, DownloadLimits(part_bytes=4096)))
    source = ImportSource(SourceKind.OCI_REFERENCE, reference, "login")
    oci.check(source)
    return await oci.fetch(source, fetch_place(folder, ignore))


def write_folder(folder: Path) -> Path:
    (folder / "additional_chat_templates").mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 80)
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_folder_survives_the_way_through_a_registry(
    client: httpx2.AsyncClient, registry: str, tmp_path: Path
) -> None:
    source, reference = write_folder(tmp_path / "model"), f"{registry}/models/roo:1"
    for _ in range(2):
        await push_artifact(source, reference, client=client, secret=LOGIN, progress=ignore)
    model = await pulled(tmp_path / "out", reference)
    assert model.path == tmp_path / "out"
    assert contents(model.path) == contents(source)

    pinned = model.uri.removeprefix("oci:")
    assert pinned.startswith(f"{registry}/models/roo@sha256:")
    (source / "config.json").write_text('{"model_type": "qwen2"}')
    with pytest.raises(AlreadyExists, match="already"):
        await push_artifact(source, reference, client=client, secret=LOGIN, progress=ignore)
    await push_artifact(source, reference, client=client, secret=LOGIN, replace=True, progress=ignore)
    assert contents((await pulled(tmp_path / "out2", reference)).path) == contents(source)
    assert b"llama" in contents((await pulled(tmp_path / "out3", pinned)).path)["config.json"]


async def test_a_gguf_is_pulled_as_the_file_that_it_is(
    client: httpx2.AsyncClient, registry: str, tmp_path: Path
) -> None:
    (tmp_path / "roo.gguf").write_bytes(b"GGUF" + bytes(9000))
    await push_artifact(tmp_path / "roo.gguf", f"{registry}/roo:1", client=client, secret=LOGIN, progress=ignore)
    manifest = await Repository(client, f"http://{registry}/v2/roo", LOGIN).manifest("1", MANIFEST_TYPES)
    assert manifest and [file.name for file in read_files(manifest.content)] == ["roo.gguf"]
    assert json.loads(manifest.content)["artifactType"] == "application/vnd.drillyard.model"
    model = await pulled(tmp_path / "out", f"{registry}/roo:1")
    assert (model.path.name, model.path.stat().st_size) == ("roo.gguf", 9004)
    with pytest.raises(NotFound, match="has no"):
        await pulled(tmp_path / "out", f"{registry}/roo:2")


async def test_a_version_is_published_as_an_artifact(client: httpx2.AsyncClient, registry: str, tmp_path: Path) -> None:
    secrets = Secrets("REGISTRY_", None, {"REGISTRY_SECRET_LOGIN": LOGIN})
    policy = HostPolicy((), secrets, variables=HostVariables("REGISTRY_HOSTS", "REGISTRY_SECRET_HOSTS"))
    publisher = OciPublisher(client, policy)
    place = replace(PLACE, oci_reference=f"{registry}/models/roo:2", secret="login")
    publisher.check(place)
    package = Package("p", "roo@1", 1, write_folder(tmp_path / "model"), place)
    assert await publisher.publish(package, ignore) == f"{registry}/models/roo:2"
    assert contents((await pulled(tmp_path / "out", place.oci_reference or "")).path) == contents(package.folder)
    for text in ("roo:1", f"{registry}/roo@{DIGEST}"):
        with pytest.raises(InvalidArgument):
            publisher.check(replace(PLACE, oci_reference=text))


def manifest_of(*layers: dict[str, object]) -> bytes:
    return json.dumps(
        {"schemaVersion": 2, "layers": [{"digest": DIGEST, "size": 1} | layer for layer in layers]}
    ).encode()


def titled(title: str, **notes: str) -> dict[str, object]:
    return {"mediaType": "x/y", "annotations": {"org.opencontainers.image.title": title, **notes}}


@pytest.mark.parametrize(
    "content",
    [
        manifest_of(titled("../config.json")),
        manifest_of(titled("/etc/passwd")),
        manifest_of(titled("a/./b")),
        manifest_of(titled(".hidden")),
        manifest_of(titled("a\n")),
        manifest_of(titled("config.json"), titled("config.json")),
        manifest_of(titled("config.json") | {"digest": "sha256:../../x"}),
        b'{"schemaVersion": 2, "manifests": []}',
        b"<html>",
    ],
)
def test_an_artifact_that_names_a_place_outside_of_its_folder_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read_files(content)


def test_layers_that_are_no_files_have_no_name() -> None:
    layers: tuple[dict[str, object], ...] = (
        titled("model", **{"io.deis.oras.content.unpack": "true"}),
        {"mediaType": "application/vnd.docker.ai.gguf.v3"},
        {"mediaType": "application/vnd.docker.ai.license"},
    )
    assert [file.name for file in read_files(manifest_of(*layers))] == ["", "model.gguf", ""]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("registry.example/models/roo:1", "https://registry.example/v2/models/roo"),
        ("127.0.0.1:5000/roo:1", "http://127.0.0.1:5000/v2/roo"),
        ("host:5000/a/b/c:v1.2-x", "https://host:5000/v2/a/b/c"),
        (f"http://registry.example/roo@{DIGEST}", "http://registry.example/v2/roo"),
    ],
)
def test_a_reference_names_host_repository_and_version(text: str, url: str) -> None:
    assert parse_reference(text).url == url


@pytest.mark.parametrize(
    "text", ["roo:1", "host/roo:1", "a.b/roo", "a.b/Roo:1", "a.b/../x:1", "a.b/x:1\n", "a.b/x@sha256:1"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="names no artifact"):
        parse_reference(text)


async def test_a_secret_is_never_sent_over_plain_http_to_another_machine(
    client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument, match=r"not sent .* over plain http"):
        Repository(client, "http://registry.example/v2/roo", LOGIN)
