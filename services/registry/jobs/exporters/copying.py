"""The files of a stored version put elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from services.chassis.machine.files import link_or_copy
from services.registry.importers.source_files import pour
from services.registry.ports import Progress


async def copy_files(
    folder: Path, out: Path, progress: Progress, *, linked: bool = False, left_out: Collection[str] = ()
) -> None:
    """Put the files of `folder` into the new folder `out`; progress is in bytes.

    Args:
        folder: Of a version; nobody changes its files.
        out: Is made.
        progress: Told the bytes that are there, and all.
        linked: A hard link is as good as a copy, where the disk allows it.
        left_out: Paths in the folder.
    """
    put: Callable[[Path, Path], Awaitable[None]] = _link if linked else _copy
    sizes = await asyncio.to_thread(_sizes, folder, left_out)
    done, total = 0, sum(sizes.values())
    await asyncio.to_thread(out.mkdir)
    for file, size in sizes.items():
        await progress(done, total)
        target = out / file.relative_to(folder)
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        await put(file, target)
        done += size
    await progress(done, total)


def _sizes(folder: Path, left_out: Collection[str]) -> dict[Path, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {file: file.stat().st_size for file in files if file.relative_to(folder).as_posix() not in left_out}


async def _link(file: Path, target: Path) -> None:
    await asyncio.to_thread(link_or_copy, file, target)


async def _copy(file: Path, target: Path) -> None:
    with target.open("wb") as stream:
        await pour(file, stream.write)
