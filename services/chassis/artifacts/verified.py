"""What this process has read of artifacts on local disks: each is read through once and not at each use."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeAlias

from services.chassis.artifacts import tree
from services.chassis.artifacts.artifact import Key, file_digest
from services.chassis.artifacts.local_folder import LocalFolder

# Device, inode, bytes and time of change in nanoseconds.
_Stamp: TypeAlias = tuple[int, int, int, int]
_Stamps: TypeAlias = tuple[_Stamp, ...]
_MOST_DESCRIBED: Final = 1000


class Described:
    """Remembers digests of files from when they are described until they are kept: a hard link is the same file.

    The oldest are forgotten: files that are copied, or not kept after all, are never asked for.
    """

    def __init__(self) -> None:
        self._digests: dict[_Stamp, str] = {}

    def read(self, path: Path) -> str:
        """Return the digest of a file, and remember it."""
        stamp, digest = _stamp(path), file_digest(path)
        self._digests[stamp] = digest
        for oldest in list(self._digests)[:-_MOST_DESCRIBED]:
            self._digests.pop(oldest, None)
        return digest

    def take(self, path: Path) -> str:
        """Return the digest of a file, which is read where it is not remembered or was touched since."""
        return self._digests.pop(_stamp(path), "") or file_digest(path)


class Verified:
    """Remembers artifacts by the stamps of their files: one that is written to, cut or replaced is read again."""

    def __init__(self) -> None:
        self._stamps: dict[Path, _Stamps] = {}

    def verify(self, folder: LocalFolder, key: Key) -> None:
        """Return when every byte of a kept artifact is as it was.

        Raises:
            FailedPrecondition: It is not.
            FileNotFoundError: It, or a file of it, is not there.
        """
        if self._stamps.get(folder.root / key.path) != _stamps(folder, key):
            tree.verify(folder, key)
            self.remember(folder, key)

    def remember(self, folder: LocalFolder, key: Key) -> None:
        """Take note of an artifact whose every byte has just been verified."""
        self._stamps[folder.root / key.path] = _stamps(folder, key)


def _stamps(folder: LocalFolder, key: Key) -> _Stamps:
    return tuple(_stamp(folder.root / path) for path in tree.digests_of(folder, key))


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
