"""A data folder that was moved or copied: what its databases name by the former place is found in the new one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from services.chassis.artifacts import ArtifactStore
from services.chassis.artifacts.garbage import ArtifactGarbage
from services.chassis.errors import NotFound, PermissionDenied


def _store(data: Path, service: str) -> ArtifactStore:
    return ArtifactStore((data / service / "artifacts").as_uri(), sources=(data.as_uri() + "/",))


async def _moved(tmp_path: Path) -> tuple[Path, str, str]:
    """Return a data folder that was moved, and the URIs that a file and a folder had before."""
    before, after = tmp_path / "before", tmp_path / "elsewhere" / "after"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    registry = _store(before, "registry")
    blob, tree = await registry.put_bytes(b"rows"), await registry.put_tree(tmp_path / "model")
    after.parent.mkdir()
    before.rename(after)
    return after, blob.uri, tree.uri


async def test_owner_and_others_read_it_where_it_is_now(tmp_path: Path) -> None:
    data, blob, tree = await _moved(tmp_path)
    for service in ("registry", "trainer"):
        store = _store(data, service)
        assert await store.read_bytes(blob) == b"rows"
        assert (
            await store.local_path(tree) == data / "registry" / "artifacts" / tree.partition("artifacts/")[2] / "files"
        )
    with pytest.raises(PermissionDenied):
        await _store(data, "trainer").delete(blob)
    await _store(data, "registry").delete(blob)
    with pytest.raises(NotFound):
        await _store(data, "registry").read_bytes(blob)
    await _store(data, "registry").delete(blob)


async def test_bytes_outside_of_what_is_trusted_stay_outside(tmp_path: Path) -> None:
    data, blob, _ = await _moved(tmp_path)
    shutil.copytree(data / "registry", tmp_path / "private" / "registry")
    shutil.rmtree(data / "registry")
    _, _, tail = blob.partition("/artifacts/")
    with pytest.raises(PermissionDenied):
        await _store(data, "trainer").read_bytes(f"{(tmp_path / 'private/registry').as_uri()}/artifacts/{tail}")


async def test_what_is_needed_is_no_garbage_under_its_former_name(tmp_path: Path) -> None:
    data, blob, tree = await _moved(tmp_path)
    folder = data / "registry" / "artifacts"

    async def held() -> set[str]:
        return {tree}

    garbage = ArtifactGarbage(folder.as_uri())
    found = [item.name async for item in garbage.handed_over("artifact", -1.0, held)]
    assert found == [blob.rpartition("/")[2][:16]]
