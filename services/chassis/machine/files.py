"""Files that appear whole or not at all, and stay when the power goes: the one place that writes over what is there."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def write_atomically(path: Path, content: str) -> None:
    """Write a text file in UTF-8; whoever reads it, even after a crash, finds the old content or the new one.

    Raises:
        OSError: It cannot be written; the old content stays.
    """
    with written_whole(path) as out:
        out.write(content.encode())


@contextmanager
def written_whole(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Args:
        path: Its place.
        mode: Who may read and write it, before it is seen there.

    Raises:
        OSError: It cannot be written.
    """
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(place: Path) -> None:
    """Return when a file's bytes, or a folder's entries, are on the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(place: Path) -> None:
    """Remove a file or folder; nothing happens when it is not there.

    Raises:
        OSError: Something of it cannot be removed.
    """
    with suppress(FileNotFoundError):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()


def size_below(place: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; what vanishes meanwhile counts as nothing."""
    size = 0
    for path in (place, *place.rglob("*")) if place.is_dir() and not place.is_symlink() else (place,):
        with suppress(FileNotFoundError):
            status = path.lstat()
            size += status.st_size if not stat.S_ISDIR(status.st_mode) else 0
    return size


def newest_change(place: Path) -> float:
    """Return when a folder, or anything in it, was changed last, in seconds since 1970; 0 once it has vanished."""
    times = [0.0]
    for path in (place, *place.rglob("*")):
        with suppress(FileNotFoundError):
            times.append(path.lstat().st_ctime)
    return max(times)


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file at `target` too: a hard link where the disk allows it, else a copy."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        shutil.copyfile(source, target, follow_symlinks=False)
