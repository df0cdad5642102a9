"""Imports from an address or an upload, and what a job keeps of what it fetched."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument
from services.chassis.jobs import JobState
from services.registry.domain.model_import import ImportSource, SourceKind
from services.registry.downloads import transfer
from services.registry.importers.workspace import Workspace
from tests.unit.registry.model_folders import write_model
from tests.unit.registry.sources.file_server import FileServer, serving_files
from tests.unit.registry.sources.imports import Registry

GGUF = b"GGUF" + bytes(10_000)


@pytest.fixture
async def server() -> AsyncIterator[FileServer]:
    async with serving_files() as server:
        yield server


def at(server: FileServer, path: str) -> ImportSource:
    return ImportSource(SourceKind.URL, f"{server.url}{path}")


async def test_a_file_at_an_address_is_fetched_and_registered(
    registry: Registry, server: FileServer, tmp_path: Path
) -> None:
    server.files["/m/tiny.gguf"] = GGUF
    job = await registry.run_from(at(server, "/m/tiny.gguf?signature=a%20b"))
    assert job.result == {"model_version_id": "tiny@1"}, job.error
    (version,) = await registry.versions()
    assert version.source and version.source.uri == f"{server.url}/m/tiny.gguf"
    assert registry.leftovers() == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ftp://h/m.gguf",
        "https://u:p@h/m.gguf",
        "https://h/m.bin",
        "https://h/",
        "https://h/m.gguf#x",
        "https://h\\@x/m.gguf",
    ],
)
async def test_what_is_no_address_of_a_gguf_file_is_refused(registry: Registry, value: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await registry.imports.create("", "tiny", ImportSource(SourceKind.URL, value))
    assert refusal.value.next_step


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SourceKind.URL, "https://nowhere.example/m.gguf"),
        (SourceKind.OLLAMA_TAG, "nowhere.example/lab/tiny:q4"),
        (SourceKind.OCI_REFERENCE, "nowhere.example/lab/tiny:q4"),
    ],
)
async def test_a_host_of_a_name_that_leads_nowhere_is_told(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, kind: SourceKind, value: str
) -> None:
    def unknown(host: str, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {host}")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(transfer, "_LAST_PAUSE_SECONDS", 0.001)
    job = await registry.run_from(ImportSource(kind, value))
    assert job.state is JobState.FAILED and job.error is not None and job.error.next_step
    assert "The name nowhere.example leads nowhere" in job.error.problem


async def test_what_was_fetched_outlives_the_process_but_not_the_import(
    registry: Registry, server: FileServer, tmp_path: Path
) -> None:
    server.files["/tiny.gguf"] = GGUF
    server.bytes_per_second = 10_000
    running = asyncio.create_task(registry.run_from(at(server, "/tiny.gguf")))
    while server.sent_bytes < 4000:
        await asyncio.sleep(0.01)
    await registry.runner.stop(5.0)
    (kept,) = registry.leftovers()
    # A process that starts anew removes what it prepared, not what it fetched.
    Workspace(tmp_path / "imports").clear()
    assert registry.leftovers() == [kept] and kept.startswith("fetched-")
    server.bytes_per_second, num_sent = 0.0, server.sent_bytes
    await registry.runner.start()
    assert (await running).state is JobState.SUCCEEDED
    assert (registry.leftovers(), len(await registry.versions())) == ([], 1)
    assert server.sent_bytes - num_sent < len(GGUF) - 2000


async def test_a_cancelled_import_keeps_nothing_of_what_it_fetched(
    registry: Registry, server: FileServer, tmp_path: Path
) -> None:
    server.files["/tiny.gguf"] = GGUF
    server.bytes_per_second = 100
    running = asyncio.create_task(registry.run_from(at(server, "/tiny.gguf")))
    while not registry.leftovers():
        await asyncio.sleep(0.01)
    (listed,), _ = await registry.imports.resource.list(10)
    await registry.imports.resource.cancel(listed.job.job_id)
    assert (await running).state is JobState.CANCELLED
    assert (registry.leftovers(), await registry.versions()) == ([], [])


async def test_an_upload_is_imported_by_its_artifact(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "upload"
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(GGUF)
    model = await registry.artifacts.put_tree(write_model(tmp_path / "model"))
    for artifact, model_id in ((await registry.artifacts.put_tree(folder), "gguf"), (model, "folder")):
        job = await registry.run_from(ImportSource(SourceKind.ARTIFACT, artifact.uri, artifact=artifact), model_id)
        assert job.result == {"model_version_id": f"{model_id}@1"}, job.error
    other = Artifact(model.uri, f"sha256:{'0' * 64}", model.size_bytes)
    job = await registry.run_from(ImportSource(SourceKind.ARTIFACT, other.uri, artifact=other))
    assert job.error and "not that of its URI" in job.error.problem
