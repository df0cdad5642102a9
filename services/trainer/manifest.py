"""Checkpoint folders: whole once their manifest exists, trusted once every byte matches it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from services.chassis.artifacts.artifact import file_digest
from services.chassis.errors import FailedPrecondition
from services.chassis.machine.files import link_or_copy, remove_tree, sync, write_atomically
from services.chassis.status import full_disk_told
from services.trainer.domain.attempt import Checkpoint, CheckpointFile

MANIFEST: Final = "manifest.json"
POSITION: Final = "position.json"
OPTIMIZER: Final = "optimizer.safetensors"
ADAPTER: Final = "adapter"
MODEL: Final = "model"
# One of these folders holds the weights that are trained.
WEIGHTS: Final = (ADAPTER, MODEL)
QUARANTINED: Final = ".quarantined"
_FORMAT: Final = 1
_MAX_MANIFEST_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"step-(\d{8,})-attempt-(\d{3,})")


class BadCheckpointError(ValueError):
    """A checkpoint cannot be used; the text is one clause that says why."""


@dataclass(frozen=True)
class Place:
    """A checkpoint folder, by its name alone."""

    path: Path
    step: int
    attempt: int


def place_for(parent: Path, step: int, attempt: int) -> Path:
    """Return where an attempt puts the checkpoint of a step; attempts never share a folder."""
    return parent / f"step-{step:08d}-attempt-{attempt:03d}"


def places(parent: Path) -> list[Place]:
    """Return the checkpoint folders in `parent`, newest step first, whole or not."""
    if not parent.is_dir():
        return []
    names = [(path, _NAME.fullmatch(path.name)) for path in parent.iterdir() if path.is_dir()]
    folders = [Place(path, int(match[1]), int(match[2])) for path, match in names if match]
    return sorted(folders, key=lambda place: (place.step, place.attempt), reverse=True)


def write_manifest(
    folder: Path, *, step: int, attempt: int, config_digest: str, verified: Mapping[str, dict[str, Any]] | None = None
) -> Checkpoint:
    """Make the files in `folder` durable and then, by one rename, a checkpoint.

    Args:
        folder: Has the files.
        step: Steps that are done.
        attempt: Who has done them.
        config_digest: What decided them.
        verified: Digests and sizes of files that need not be read for it, by path.
    """
    files = dict(verified or {})
    for path in _files(folder):
        sync(path)
        name = path.relative_to(folder).as_posix()
        if name not in files:
            files[name] = {"sha256": _hex_digest(path), "size_bytes": path.stat().st_size}
    for directory in {path.parent for path in _files(folder)} | {folder}:
        sync(directory)
    now = datetime.now(UTC)
    content = {
        "format": _FORMAT,
        "step": step,
        "attempt": attempt,
        "config_digest": config_digest,
        "create_time": now.isoformat(),
        "files": files,
    }
    write_atomically(folder / MANIFEST, json.dumps(content, indent=1, sort_keys=True))
    sync(folder.parent)
    return _checkpoint(folder, content)


def verify(folder: Path, config_digest: str) -> Checkpoint:
    """Return the checkpoint in `folder` once every byte of it matches the manifest.

    Raises:
        BadCheckpointError: One does not, or the checkpoint belongs to another configuration.
    """
    content = _read_manifest(folder / MANIFEST)
    if content["config_digest"] != config_digest:
        raise BadCheckpointError("it was made with other settings or data")
    present = {path.relative_to(folder).as_posix() for path in _files(folder)} - {MANIFEST}
    listed: dict[str, dict[str, Any]] = content["files"]
    if present != set(listed):
        raise BadCheckpointError(f"the file {sorted(present ^ set(listed))[0]} is missing or is too many")
    for name, facts in listed.items():
        path = folder / name
        if path.is_symlink() or path.stat().st_size != facts["size_bytes"] or _hex_digest(path) != facts["sha256"]:
            raise BadCheckpointError(f"the file {name} was changed after it was written")
    return _checkpoint(folder, content)


def files_of(folder: Path) -> tuple[CheckpointFile, ...]:
    """Return the files of a checkpoint by path, as its manifest has them.

    Raises:
        BadCheckpointError: The manifest cannot be read.
        FileNotFoundError: There is none.
    """
    files = sorted(_read_manifest(folder / MANIFEST)["files"].items())
    return tuple(CheckpointFile(path, f"sha256:{facts['sha256']}", facts["size_bytes"]) for path, facts in files)


def write_fork(source: Path, folder: Path, *, config_digest: str) -> None:
    """Make a checkpoint of step 0 in `folder` with the weights and the optimizer of another, by links to its files.

    What a method keeps beside them, such as a reference, and what was measured stay behind.

    Raises:
        BadCheckpointError: A byte of the source does not match its manifest, or a part is missing.
        FileNotFoundError: The source is being removed.
    """
    content = _read_manifest(source / MANIFEST)
    verify(source, content["config_digest"])
    files = content["files"]
    for name in (POSITION, OPTIMIZER):
        if name not in files:
            raise BadCheckpointError(f"it lacks {name}")
    linked = {path: files[path] for path in files if path == OPTIMIZER or path.split("/")[0] in WEIGHTS}
    for path in linked:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source / path, target)
    position = {"step": 0, "dtype": json.loads((source / POSITION).read_bytes())["dtype"]}
    write_atomically(folder / POSITION, json.dumps(position))
    write_manifest(folder, step=0, attempt=0, config_digest=config_digest, verified=linked)


def newest_verified(parent: Path, config_digest: str) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint that verifies, and a sentence for each newer one that does not.

    Those are renamed so that no later search finds them; folders without a manifest are removed. Call it only while
    nothing writes in `parent`; what an attempt that is on its way out removes meanwhile is passed over.
    """
    sentences: list[str] = []
    for place in places(parent):
        with contextlib.suppress(FileNotFoundError):
            if not (place.path / MANIFEST).exists():
                shutil.rmtree(place.path)
                continue
            try:
                return verify(place.path, config_digest), sentences
            except BadCheckpointError as error:
                place.path.rename(place.path.with_name(place.path.name + QUARANTINED))
                sentences.append(f"The checkpoint of step {place.step} was set aside: {error}.")
    return None, sentences


def prune(parent: Path, *, keep: int, best: int = 0) -> list[Path]:
    """Remove all but the newest `keep` checkpoints and those of the step `best`, and return what was removed.

    A checkpoint loses its manifest first, so that a half-removed folder is none.
    """
    whole = [place for place in places(parent) if (place.path / MANIFEST).exists()]
    removed = [place.path for place in whole[max(keep, 1) :] if place.step != best]
    for path in removed:
        (path / MANIFEST).unlink()
        shutil.rmtree(path)
    return removed


class LocalCheckpoints:
    """One folder per job below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, training_job_id: str) -> Path:
        """Return the place of a job's checkpoints."""
        return self._root / training_job_id

    async def remove(self, training_job_id: str) -> None:
        """Remove a job's checkpoints from this machine."""
        await asyncio.to_thread(remove_tree, self.folder(training_job_id))

    async def newest(self, training_job_id: str, config_digest: str) -> tuple[Checkpoint | None, tuple[str, ...]]:
        """Return the newest checkpoint whose every byte verifies, and a sentence for each that did not.

        Those that did not are set aside; folders without a manifest are removed.
        """
        checkpoint, sentences = await asyncio.to_thread(newest_verified, self.folder(training_job_id), config_digest)
        return checkpoint, tuple(sentences)

    async def of_step(self, training_job_id: str, step: int, config_digest: str) -> Checkpoint | None:
        """Return the checkpoint of a step whose every byte verifies, or None."""
        return await asyncio.to_thread(_verified_step, self.folder(training_job_id), step, config_digest)

    async def restore(self, training_job_id: str, source: Path, config_digest: str) -> Checkpoint:
        """Bring a checkpoint from elsewhere to the job's own, once every byte of it verifies.

        Raises:
            ResourceExhausted: There is no room for it now.
            FailedPrecondition: One does not, or the checkpoint belongs to another configuration.
        """
        with full_disk_told():
            return await asyncio.to_thread(_restore, source, self.folder(training_job_id), config_digest)


def _verified_step(parent: Path, step: int, config_digest: str) -> Checkpoint | None:
    for place in [place for place in places(parent) if place.step == step]:
        with contextlib.suppress(BadCheckpointError, FileNotFoundError):
            return verify(place.path, config_digest)
    return None


def _restore(source: Path, parent: Path, config_digest: str) -> Checkpoint:
    try:
        checkpoint = verify(source, config_digest)
    except (BadCheckpointError, FileNotFoundError) as error:
        raise FailedPrecondition(f"The checkpoint cannot be used: {error}.") from error
    folder = place_for(parent, checkpoint.step, checkpoint.attempt)
    shutil.rmtree(folder, ignore_errors=True)
    # The manifest comes last, as in a checkpoint that is saved here.
    for path in sorted(_files(source), key=lambda path: path == source / MANIFEST):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(path, target)
    return _checkpoint(folder, _read_manifest(folder / MANIFEST))


def _read_manifest(path: Path) -> dict[str, Any]:
    if path.is_symlink() or path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise BadCheckpointError("its manifest is not one of ours")
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise BadCheckpointError(f"its manifest has the unknown format {content['format']}")
        for facts in content["files"].values():
            int(facts["size_bytes"]), str(facts["sha256"])
        int(content["step"]), int(content["attempt"]), datetime.fromisoformat(content["create_time"])
        str(content["config_digest"])
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, BadCheckpointError):
            raise
        raise BadCheckpointError("its manifest cannot be read") from error
    parsed: dict[str, Any] = content
    return parsed


def _checkpoint(folder: Path, content: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        step=content["step"],
        attempt=content["attempt"],
        uri=folder.resolve().as_uri(),
        digest=file_digest(folder / MANIFEST),
        size_bytes=sum(facts["size_bytes"] for facts in content["files"].values()),
        create_time=datetime.fromisoformat(content["create_time"]),
    )


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())


def _hex_digest(path: Path) -> str:
    return file_digest(path).removeprefix("sha256:")
