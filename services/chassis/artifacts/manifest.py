"""The manifest of a folder: which files it holds; the folder's digest is that of its manifest."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from services.chassis.artifacts.artifact import hex_of
from services.chassis.errors import FailedPrecondition, InvalidArgument

MAX_FILES = 100_000
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, order=True)
class ManifestEntry:
    """One file: relative POSIX path, digest, bytes."""

    path: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """The files of a folder, in order of their paths."""

    entries: tuple[ManifestEntry, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry.size_bytes for entry in self.entries)

    @property
    def digest(self) -> str:
        """The folder's digest."""
        return "sha256:" + hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the only form in which this manifest is written."""
        files = [asdict(entry) for entry in self.entries]
        return json.dumps({"files": files}, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Manifest:
        """Read a manifest that another process wrote.

        Raises:
            FailedPrecondition: It is not one, or names a path outside its folder.
        """
        try:
            entries = tuple(ManifestEntry(**entry) for entry in json.loads(raw)["files"])
            for entry in entries:
                hex_of(entry.digest)
                check_path(entry.path)
        except (ValueError, TypeError, KeyError, AttributeError, InvalidArgument) as error:
            raise FailedPrecondition(
                f"The artifact's manifest is damaged: {error}", "Make the artifact again."
            ) from error
        if len({entry.path for entry in entries}) != len(entries) or len(entries) > MAX_FILES:
            raise FailedPrecondition("The artifact's manifest names a file twice or too many files.")
        return cls(entries)


def check_path(path: str) -> None:
    """Return when `path` is relative, POSIX, and stays below its folder.

    Raises:
        InvalidArgument: It does not.
    """
    parts = PurePosixPath(path).parts
    sound = isinstance(path, str) and 0 < len(path) <= 1024 and not path.startswith("/") and "\\" not in path
    if not sound or path != "/".join(parts) or ".." in parts or "." in parts or any(ord(c) < 32 for c in path):
        raise InvalidArgument(
            f"The path {path[:100]!r} leaves its folder or is malformed.", "Use plain relative paths."
        )


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield relative path and place of each file below `folder`, in order.

    Raises:
        InvalidArgument: Something there is neither a file nor a folder, such as a symbolic link.
    """
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted(names + [each for each in folders if Path(parent, each).is_symlink()]):
            place = Path(parent, name)
            relative = place.relative_to(folder).as_posix()
            if not stat.S_ISREG(place.lstat().st_mode):
                raise InvalidArgument(
                    f"{relative!r} is not a plain file; links and devices are not stored.", "Replace it by a copy."
                )
            check_path(relative)
            yield relative, place


def describe(folder: Path, digest_of: Callable[[Path], str]) -> Manifest:
    """Return the manifest of what is below `folder`."""
    entries = (
        ManifestEntry(relative, digest_of(place), place.stat().st_size) for relative, place in files_below(folder)
    )
    return Manifest(tuple(sorted(entries)))


def _raise(error: OSError) -> None:
    raise error
