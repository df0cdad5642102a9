"""Content that several downloads want: one of them fetches it, the others wait and link it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from services.chassis.machine.files import link_or_copy
from services.registry.downloads.partial_file import kept_bytes

_LOOK_SECONDS = 0.2
_LOCK = ".lock"

Waiting = Callable[[int], Awaitable[None]]


@asynccontextmanager
async def shared_content(folder: Path, digest: str, target: Path, waiting: Waiting) -> AsyncIterator[None]:
    """Let one at a time fetch the content to its target; a target that is there on entry need not be fetched.

    It holds for all processes that use the folder, and ends with them.

    Args:
        folder: Where a lock, and a link to the target, lie for each digest.
        digest: The content's.
        target: Where the block lets it appear.
        waiting: Told again and again, while another fetches it, how many bytes that has.
    """
    link = folder / digest.replace(":", "-")
    lock = await _locked(link, waiting)
    try:
        await asyncio.to_thread(_take_or_announce, link, target)
        yield
    finally:
        os.close(lock)


def _take_or_announce(link: Path, target: Path) -> None:
    if not target.exists():
        # Whoever fetched it may remove it at any time; then it is fetched again.
        with suppress(FileNotFoundError):
            link_or_copy(link.resolve(strict=True), target)
            return
    link.unlink(missing_ok=True)
    link.symlink_to(target.absolute())


def forget_shared(folder: Path) -> None:
    """Remove what stands for content that nobody fetches, and that is not there any more."""
    for path in folder.glob(f"*{_LOCK}"):
        link = path.with_suffix("")
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not link.exists() and _is_taken(lock, path):
            link.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        os.close(lock)
    with suppress(OSError):
        folder.rmdir()


async def _locked(link: Path, waiting: Waiting) -> int:
    path = link.with_name(f"{link.name}{_LOCK}")
    while True:
        lock = _opened(path)
        if _is_taken(lock, path):
            return lock
        os.close(lock)
        await waiting(_bytes_behind(link))
        await asyncio.sleep(_LOOK_SECONDS)


def _opened(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whoever forgets what is shared removes the folder when it is empty.
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _bytes_behind(link: Path) -> int:
    return kept_bytes(Path(os.path.realpath(link)))


def _is_taken(lock: int, path: Path) -> bool:
    """Whether the lock is this process's now, and still the one that others would ask for."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(lock).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
