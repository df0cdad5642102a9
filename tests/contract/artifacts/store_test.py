"""What every artifact store promises, on a local disk, behind an fsspec filesystem and on a server of S3's protocol."""

import asyncio
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from services.chassis.artifacts import ArtifactStore, verified
from services.chassis.artifacts.artifact import file_digest
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied

ZERO = "0" * 64


@pytest.fixture(params=["local", "remote", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param != "remote":
        yield (tmp_path / "artifacts").as_uri() if request.param == "local" else request.getfixturevalue("s3_root")
        return
    name = f"/{uuid.uuid4().hex}"
    yield f"memory:/{name}"
    memory = fsspec.filesystem("memory")
    if memory.exists(name):
        memory.rm(name, recursive=True)


@pytest.fixture
def owner(root: str, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root, "trainer", cache_dir=tmp_path / "cache")


@pytest.fixture
def other(root: str, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root, "registry", sources=(root + "/trainer/",), cache_dir=tmp_path / "other_cache")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "nested").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "nested" / "weights.safetensors").write_bytes(bytes(range(256)) * 100)
    (folder / "manifest.json").write_text("a file of the model, not ours")
    return folder


def stored_files(root: str) -> set[str]:
    fs, path = fsspec.core.url_to_fs(root)
    return {str(found) for found in fs.find(path)} if fs.exists(path) else set()


def overwrite(uri: str, data: bytes) -> None:
    fs, path = fsspec.core.url_to_fs(uri)
    fs.makedirs(fs._parent(path), exist_ok=True)
    if fs.exists(path) and uri.startswith("file:"):
        Path(path).chmod(0o644)
    with fs.open(path, "wb") as stream:
        stream.write(data)


def replace_bytes(uri: str, data: bytes) -> None:
    """Put other bytes in a file's place; a hard link to the good ones, elsewhere, keeps them."""
    fs, path = fsspec.core.url_to_fs(uri)
    fs.rm_file(path)
    overwrite(uri, data)


async def test_the_draft_of_a_killed_writer_goes_with_what_it_staged(root: str, owner: ArtifactStore) -> None:
    lent = owner.draft()
    draft = lent.__enter__() / "half"
    draft.write_bytes(b"half of it")
    await owner.sweep(is_only_writer=True)
    assert not draft.exists() and stored_files(root) == set()


async def test_bytes_are_kept_once_under_their_digest(owner: ArtifactStore, root: str) -> None:
    first, again = await owner.put_bytes(b"report", "text/html"), await owner.put_bytes(b"report", "text/html")
    assert first == again
    assert first.digest == "sha256:" + hashlib.sha256(b"report").hexdigest()
    assert (first.size_bytes, first.media_type) == (6, "text/html")
    assert first.uri.startswith(root + "/trainer/")
    assert await owner.read_bytes(first.uri) == b"report"
    assert len(stored_files(root)) == 1


async def test_writers_of_the_same_bytes_do_not_disturb_each_other(owner: ArtifactStore, model: Path) -> None:
    trees = await asyncio.gather(*(owner.put_tree(model) for _ in range(8)))
    assert len(set(trees)) == 1
    await owner.verify(trees[0].uri, trees[0].digest)


async def test_a_file_is_copied(owner: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "adapter.bin"
    source.write_bytes(b"x" * 3_000_000)
    artifact = await owner.put_file(source)
    source.write_bytes(b"changed")
    assert (await owner.local_path(artifact.uri)).stat().st_size == artifact.size_bytes == 3_000_000
    with await owner.open_reader(artifact.uri) as stream:
        assert stream.read(3) == b"xxx"


async def test_a_folder_comes_back_with_its_names(owner: ArtifactStore, model: Path) -> None:
    artifact = await owner.put_tree(model)
    place = await owner.local_path(artifact.uri)
    names = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert names == {"config.json", "manifest.json", "nested/weights.safetensors"}
    assert (place / "nested/weights.safetensors").read_bytes() == (model / "nested/weights.safetensors").read_bytes()
    assert await owner.read_bytes(artifact.uri, "config.json") == b"{}"
    assert artifact.size_bytes == 2 + 25_600 + len("a file of the model, not ours")


async def test_a_folders_digest_is_that_of_its_contents_alone(
    owner: ArtifactStore, other: ArtifactStore, model: Path
) -> None:
    first = await owner.put_tree(model)
    os.utime(model / "config.json", (1, 1))
    assert (await other.put_tree(model)).digest == first.digest
    (model / "config.json").rename(model / "renamed.json")
    assert (await owner.put_tree(model)).digest != first.digest


@pytest.mark.parametrize("member", ["missing", "../manifest.json", "/etc/passwd", "nested"])
async def test_only_files_of_the_manifest_are_read(owner: ArtifactStore, model: Path, member: str) -> None:
    artifact = await owner.put_tree(model)
    with pytest.raises(NotFound):
        await owner.read_bytes(artifact.uri, member)


async def test_links_in_a_folder_are_refused(owner: ArtifactStore, model: Path, root: str) -> None:
    for target in ("/etc/passwd", "config.json", str(model / "nested")):
        link = model / "link"
        link.symlink_to(target)
        with pytest.raises(InvalidArgument, match="link"):
            await owner.put_tree(model)
        with pytest.raises(InvalidArgument):
            await owner.put_file(link)
        link.unlink()
    with pytest.raises(InvalidArgument):
        await owner.put_tree(model / "config.json")
    assert stored_files(root) == set()


async def test_another_services_artifacts_are_adopted_whole(
    owner: ArtifactStore, other: ArtifactStore, model: Path
) -> None:
    for theirs in (await owner.put_tree(model), await owner.put_bytes(b"curve")):
        ours = await other.adopt(theirs.uri, theirs.digest, theirs.size_bytes)
        assert (ours.digest, ours.size_bytes) == (theirs.digest, theirs.size_bytes)
        assert ours.uri != theirs.uri
        await owner.delete(theirs.uri)
        await other.verify(ours.uri, ours.digest)
        assert await other.adopt(ours.uri, ours.digest, ours.size_bytes) == ours


async def test_bytes_that_changed_are_not_adopted_and_leave_nothing(
    owner: ArtifactStore, other: ArtifactStore, model: Path, root: str
) -> None:
    tree, blob = await owner.put_tree(model), await owner.put_bytes(b"0123456789")
    overwrite(f"{tree.uri}/files/nested/weights.safetensors", bytes(25_600))
    overwrite(blob.uri, b"9876543210")
    for theirs in (tree, blob):
        with pytest.raises(FailedPrecondition, match="digest"):
            await other.adopt(theirs.uri, theirs.digest, theirs.size_bytes)
        with pytest.raises(FailedPrecondition, match="digest"):
            await owner.verify(theirs.uri, theirs.digest)
    assert stored_files(root + "/registry") == set()


async def test_damage_is_noticed_at_use_and_healed_by_the_good_bytes(
    owner: ArtifactStore, other: ArtifactStore, model: Path
) -> None:
    theirs = await owner.put_tree(model)
    ours = await other.adopt(theirs.uri, theirs.digest, theirs.size_bytes)
    weights = "nested/weights.safetensors"
    for heal in (lambda: other.adopt(theirs.uri, theirs.digest, theirs.size_bytes), lambda: other.put_tree(model)):
        replace_bytes(f"{ours.uri}/files/{weights}", bytes(25_600))
        with pytest.raises(FailedPrecondition, match=r"damaged.*Import or upload the same file again"):
            await other.verify(ours.uri, ours.digest)
        assert await heal() == ours
        await other.verify(ours.uri, ours.digest)
        assert (await other.local_path(ours.uri) / weights).read_bytes() == (model / weights).read_bytes()


async def test_a_local_copy_that_was_damaged_is_not_lent(owner: ArtifactStore, model: Path, root: str) -> None:
    artifact = await owner.put_tree(model)
    weights = await owner.local_path(artifact.uri) / "nested/weights.safetensors"
    good = weights.read_bytes()
    replace_bytes(weights.as_uri(), good[:-1] + b"!")
    if root.startswith("file:"):
        with pytest.raises(FailedPrecondition, match="damaged"):
            await owner.local_path(artifact.uri)
    else:
        # What is behind it is sound, and fetched again.
        await owner.local_path(artifact.uri)
        assert weights.read_bytes() == good


async def test_a_linked_folder_takes_no_second_room_and_outlives_its_source(
    owner: ArtifactStore, model: Path, root: str
) -> None:
    source = model / "nested/weights.safetensors"
    linked = await owner.put_tree(model, linked=True)
    assert linked == await owner.describe(model)
    if root.startswith("file:"):
        assert source.stat().st_nlink == 2
    shutil.rmtree(model)
    await owner.verify(linked.uri, linked.digest)


async def test_a_folder_that_was_described_is_not_read_again_when_it_is_linked(
    owner: ArtifactStore, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def digest(path: Path) -> str:
        read.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(verified, "file_digest", digest)
    described = await owner.describe(model)
    assert sorted(read) == ["config.json", "manifest.json", "weights.safetensors"]
    (model / "config.json").write_text("{'changed': 1}")
    read.clear()
    kept = await owner.put_tree(model, linked=True)
    assert read == ["config.json"] and kept.digest != described.digest
    assert await owner.read_bytes(kept.uri, "config.json") == b"{'changed': 1}"
    await owner.verify(kept.uri, kept.digest)


async def test_a_wrong_size_or_digest_is_refused(owner: ArtifactStore, other: ArtifactStore) -> None:
    theirs = await owner.put_bytes(b"0123456789")
    with pytest.raises(FailedPrecondition, match="10 bytes, not 11"):
        await other.adopt(theirs.uri, theirs.digest, 11)
    with pytest.raises(FailedPrecondition, match="digest"):
        await other.adopt(theirs.uri, "sha256:" + ZERO, 10)


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:", "sha256:" + "0" * 63, "sha256:" + "A" * 64, "md5:" + "0" * 64, "sha256:../" + "0" * 61, ZERO],
)
async def test_malformed_digests_are_refused_before_any_path(owner: ArtifactStore, digest: str) -> None:
    artifact = await owner.put_bytes(b"x")
    with pytest.raises(InvalidArgument, match="digest"):
        await owner.verify(artifact.uri, digest)


@pytest.mark.parametrize(
    "tail",
    [
        "/../../etc/passwd",
        f"/x/../blobs/00/{ZERO}",
        f"/%2e%2e/blobs/00/{ZERO}",
        f"/blobs/00/{ZERO}/extra",
        f"/blobs/00/{ZERO}\n",
        "/blobs/00/short",
        f"/blobs/11/{ZERO}",
        "",
    ],
)
async def test_uris_that_no_store_writes_are_refused(owner: ArtifactStore, root: str, tail: str) -> None:
    for call in (owner.read_bytes, owner.local_path, owner.delete):
        with pytest.raises(InvalidArgument, match="not the URI"):
            await call(f"{root}/trainer{tail}")


async def test_places_that_are_not_trusted_are_refused(owner: ArtifactStore, other: ArtifactStore) -> None:
    theirs = await other.put_bytes(b"private")
    with pytest.raises(PermissionDenied, match="not trusted"):
        await owner.adopt(theirs.uri, theirs.digest, theirs.size_bytes)
    with pytest.raises(PermissionDenied):
        await owner.read_bytes(theirs.uri)
    with pytest.raises(PermissionDenied):
        await owner.delete(theirs.uri)


async def test_missing_artifacts_are_not_found_and_deleting_them_is_no_error(
    owner: ArtifactStore, root: str, model: Path
) -> None:
    missing = f"{root}/trainer/blobs/00/{ZERO}"
    for call in (owner.read_bytes, owner.local_path):
        with pytest.raises(NotFound):
            await call(missing)
    await owner.delete(missing)
    for artifact in (await owner.put_tree(model), await owner.put_bytes(b"x")):
        await owner.delete(artifact.uri)
        await owner.delete(artifact.uri)
        with pytest.raises(NotFound):
            await owner.adopt(artifact.uri, artifact.digest, artifact.size_bytes)
    assert stored_files(root) == set()


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a\\b", "a\nb", "", "x" * 2000, "a/", 7]
)
async def test_a_hostile_manifest_names_nothing_outside_its_folder(
    owner: ArtifactStore, other: ArtifactStore, root: str, path: object, tmp_path: Path
) -> None:
    entry = {"path": path, "digest": "sha256:" + ZERO, "size_bytes": 1}
    raw = json.dumps({"files": [entry]}, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    name = hashlib.sha256(raw).hexdigest()
    uri = f"{root}/trainer/trees/{name[:2]}/{name}"
    overwrite(f"{uri}/manifest.json", raw)
    with pytest.raises(FailedPrecondition, match="manifest"):
        await other.adopt(uri, f"sha256:{name}", 1)
    assert not (tmp_path / "x").exists()
    assert stored_files(root + "/registry") == set()
