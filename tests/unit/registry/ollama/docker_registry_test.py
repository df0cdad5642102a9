"""Pushes to Debian's docker-registry, which keeps models of Ollama as any registry does."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, PermissionDenied
from services.registry.jobs.publishers.ollama import push_to_registry
from services.registry.oci import repository as repository_module
from services.registry.oci.repository import Repository
from services.registry.ollama.manifest import MANIFEST_TYPE
from services.registry.ollama.store import read_store
from tests.unit.registry.ollama.docker_registry import LOGIN, docker_registry
from tests.unit.registry.ollama.store_test import write_artifact


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient() as client:
        yield client


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with docker_registry(tmp_path) as host:
        yield host


async def ignore(_done: int, _total: int) -> None: ...


async def test_a_pushed_model_is_there_whole_and_another_gives_way_only_when_asked(
    client: httpx2.AsyncClient, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "_CHUNK_BYTES", 4096)
    old, new = write_artifact(tmp_path / "old", b"old" * 5000), write_artifact(tmp_path / "new")
    name, seen = f"{registry}/me/roo:1", []

    async def record(done: int, total: int) -> None:
        seen.append((done, total))

    for _ in range(2):
        await push_to_registry(old, name, client=client, progress=record)
    total = sum(layer.size for layer in read_store(old).manifest.blobs)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen[:4]] == [4096, 8192, 12288, 15000]
    with pytest.raises(AlreadyExists, match="has a model"):
        await push_to_registry(new, name, client=client, progress=ignore)
    await push_to_registry(new, name, client=client, replace=True, progress=ignore)

    model = read_store(new)
    manifest = await Repository(client, f"http://{registry}/v2/me/roo").manifest("1", (MANIFEST_TYPE,))
    assert manifest and manifest.content == model.content
    for layer in model.manifest.blobs:
        blob = await client.get(f"http://{registry}/v2/me/roo/blobs/{layer.digest}")
        assert f"sha256:{hashlib.sha256(blob.content).hexdigest()}" == layer.digest


async def test_bytes_that_are_not_what_their_digest_says_are_never_visible(
    client: httpx2.AsyncClient, registry: str, tmp_path: Path
) -> None:
    source = write_artifact(tmp_path / "new")
    weights = source / "blobs" / read_store(source).manifest.layers[0].file_name
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[:-1] + b"x")
    with pytest.raises(FailedPrecondition, match=r"does not accept the blob .*digest"):
        await push_to_registry(source, f"{registry}/me/roo:1", client=client, progress=ignore)
    assert await Repository(client, f"http://{registry}/v2/me/roo").manifest("1", (MANIFEST_TYPE,)) is None


async def test_a_registry_that_asks_for_a_login_gets_it_and_tells_a_wrong_one(
    client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    source = write_artifact(tmp_path / "new")
    with docker_registry(tmp_path, needs_login=True) as host:
        await push_to_registry(source, f"{host}/me/roo:1", client=client, secret=LOGIN, progress=ignore)
        repository, digest = (
            Repository(client, f"http://{host}/v2/me/roo", LOGIN),
            read_store(source).manifest.config.digest,
        )
        headers = await repository.read_headers(digest)
        assert (await client.get(repository.blob_url(digest), headers=headers)).status_code == 200
        for secret, words in (("", "asks for a user"), ("coder:wrong", "status 401"), ("token", "not take the token")):
            with pytest.raises(PermissionDenied, match=words):
                await push_to_registry(source, f"{host}/me/roo:1", client=client, secret=secret, progress=ignore)
