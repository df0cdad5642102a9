"""How much memory there is for this process and those that it starts, and which of them goes first when it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_CHILDREN_SHARE = 0.8
_LOOK_SECONDS = 0.25
_TREE_LOOK_SECONDS = 1.0
# What the kernel adds to the share of memory by which it chooses, in thousandths; Ray gives its workers all of them.
_CHILD_SCORE = 500
_MAX_SCORE = 1000


def total_memory_bytes(cgroups: Path = _CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Return the memory that this container may use, or else that of the machine, in bytes."""
    return min([int(psutil.virtual_memory().total), *_limits(cgroups, membership)])


def share_of_memory_bytes(num_shares: int) -> int:
    """Return what each of `num_shares` children may take, so that the service and others keep a fifth, in bytes."""
    return int(_CHILDREN_SHARE * total_memory_bytes() / num_shares)


def own_memory_bytes(pid: int) -> int:
    """Return the memory that a process has for itself: without files that it maps, which the kernel can drop.

    A process that is gone has none.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def tree_memory_bytes(pid: int) -> int:
    """Return the memory that a process and all that it started, at any remove, have for themselves, in bytes."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0
    return own_memory_bytes(pid) + sum(own_memory_bytes(child.pid) for child in children)


async def outgrows(pid: int, max_bytes: int, *, with_children: bool = False) -> None:
    """Return as soon as a process, or it and all that it started, has more than `max_bytes`; never when it is 0."""
    measure, pause = (tree_memory_bytes, _TREE_LOOK_SECONDS) if with_children else (own_memory_bytes, _LOOK_SECONDS)
    while True:
        if max_bytes and await asyncio.to_thread(measure, pid) > max_bytes:
            return
        await asyncio.sleep(pause)


def offer_to_kernel(pid: int) -> None:
    """Let the kernel, when memory ends, take a child and what it will start before the service that started it."""
    own = int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))
    # The child may have ended.
    with contextlib.suppress(OSError):
        score = str(min(own + _CHILD_SCORE, _MAX_SCORE))
        Path(f"/proc/{pid}/oom_score_adj").write_text(score, encoding="ascii")


def _limits(cgroups: Path, membership: Path) -> Iterator[int]:
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        # Version 2 has one tree; in version 1 memory has its own. A container sees its own group as the root.
        root, name = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
        group = root / place.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                yield from _limit(folder / name)


def _limit(file: Path) -> Iterator[int]:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return
    if text.isdecimal():
        yield int(text)
