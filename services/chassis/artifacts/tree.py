"""How a folder is laid out where artifacts are kept, and the port to such a place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from services.chassis.artifacts.artifact import Key, file_digest, stream_digest
from services.chassis.artifacts.manifest import MAX_BYTES, Manifest, describe, files_below
from services.chassis.errors import FailedPrecondition
from services.chassis.machine.files import link_or_copy

MANIFEST = "manifest.json"
FILES = "files"


@dataclass(frozen=True)
class Stored:
    """Something below the root of a folder: its path there, and its bytes in all."""

    path: str
    size_bytes: int


class Folder(Protocol):
    """A place for artifacts, local or remote. Paths are relative to its root."""

    @property
    def url(self) -> str:
        """The root, as artifact URIs begin."""

    def staging(self) -> AbstractContextManager[Path]:
        """Lend an empty local folder to prepare in."""

    def keep(self, staged: Path, path: str) -> None:
        """Make a staged file or folder durable, then visible."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading."""

    def size(self, path: str) -> int:
        """Return the bytes of a file."""

    def fetch(self, path: str, target: Path) -> None:
        """Bring a file to a local path."""

    def remove(self, path: str) -> None:
        """Remove an artifact; nothing happens when there is none."""

    def stored(self, before: float) -> list[Stored]:
        """Return the artifacts that were last written before a time, in seconds since 1970."""

    def staged(self, before: float) -> list[Stored]:
        """Return what writers that were killed left before a time."""

    def change_time(self, path: str) -> float:
        """Return when an artifact was last written; never, as infinity, where that is not known."""

    def sweep(self, older_than_seconds: float) -> None:
        """Remove what killed writers left."""


def stage_tree(folder: Path, staging: Path, *, linked: bool, digest_of: Callable[[Path], str]) -> Manifest:
    """Bring a folder into `staging` in the form in which it is kept, and return its manifest."""
    bring = link_or_copy if linked else shutil.copyfile
    for relative, place in files_below(folder):
        target = staging / FILES / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        bring(place, target)
    (staging / FILES).mkdir(exist_ok=True)
    return seal(staging, describe(staging / FILES, digest_of))


def seal(staging: Path, manifest: Manifest) -> Manifest:
    """Write the manifest beside the staged files and return it."""
    (staging / MANIFEST).write_bytes(manifest.to_bytes())
    return manifest


def read_manifest(source: Folder, key: Key) -> Manifest:
    """Return the manifest of a kept folder once it hashes to the folder's digest.

    Raises:
        FailedPrecondition: It is damaged.
    """
    with source.open(f"{key.path}/{MANIFEST}") as stream:
        raw = stream.read(MAX_BYTES + 1)
    manifest = Manifest.from_bytes(raw)
    if len(raw) > MAX_BYTES or manifest.digest != key.digest:
        raise _changed(key.digest, manifest.digest)
    return manifest


def take(source: Folder, key: Key, target: Folder) -> int:
    """Bring an artifact from one place to another, all of it verified before any is visible; return its bytes.

    Raises:
        FailedPrecondition: What is there does not have the digest.
    """
    with target.staging() as staging:
        if key.is_tree:
            staged, size = staging / "tree", _take_tree(source, key, staging / "tree")
        else:
            staged = staging / "blob"
            source.fetch(key.path, staged)
            size = staged.stat().st_size
            if file_digest(staged) != key.digest:
                raise _changed(key.digest, file_digest(staged))
        target.keep(staged, key.path)
    return size


def _take_tree(source: Folder, key: Key, staged: Path) -> int:
    manifest = read_manifest(source, key)
    (staged / FILES).mkdir(parents=True)
    for entry in manifest.entries:
        place = staged / FILES / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        source.fetch(f"{key.path}/{FILES}/{entry.path}", place)
        digest = file_digest(place)
        if digest != entry.digest or place.stat().st_size != entry.size_bytes:
            raise _changed(entry.digest, digest)
    return seal(staged, manifest).size_bytes


def size_of(source: Folder, key: Key) -> int:
    """Return the bytes of a kept artifact."""
    return read_manifest(source, key).size_bytes if key.is_tree else source.size(key.path)


def digests_of(source: Folder, key: Key) -> dict[str, str]:
    """Return the digest of each file of a kept artifact, by its path below the root.

    Raises:
        FailedPrecondition: Its manifest is damaged.
    """
    if not key.is_tree:
        return {key.path: key.digest}
    return {f"{key.path}/{FILES}/{entry.path}": entry.digest for entry in read_manifest(source, key).entries}


def verify(source: Folder, key: Key) -> None:
    """Return when every byte of a kept artifact is as it was.

    Raises:
        FailedPrecondition: It is not.
    """
    for path, digest in digests_of(source, key).items():
        with source.open(path) as stream:
            actual = stream_digest(stream)
        if actual != digest:
            raise _changed(digest, actual)


def _changed(expected: str, actual: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"Stored bytes are damaged: they have digest {actual}, not {expected}.",
        "Import or upload the same file again; its good bytes take the place of these.",
    )
