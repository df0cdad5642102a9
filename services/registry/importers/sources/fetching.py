"""Several files as one: their sizes are told first, and progress counts the bytes of all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from services.chassis.machine.files import remove_tree
from services.registry.downloads.download import Downloader
from services.registry.downloads.remote_file import RemoteFile
from services.registry.ports import FetchPlace


async def fetch_all(downloader: Downloader, files: Mapping[str, RemoteFile], place: FetchPlace) -> None:
    """Fetch files by where they go in the place's folder, in which nothing else is left.

    Raises:
        ResourceExhausted: The disk has no room for all that is fetched and made of it; told before the first byte.
        NotFound, PermissionDenied, FailedPrecondition, Unavailable: As `Downloader.fetch`.
    """
    known = {
        name: file if file.size_bytes is not None else await downloader.describe(file) for name, file in files.items()
    }
    total = sum(file.size_bytes or 0 for file in known.values())
    place.check_space(total)
    await asyncio.to_thread(_prepare, place.folder, set(files))
    done = 0
    for name, file in known.items():
        before = done

        async def progress(num_bytes: int, _total: int, before: int = before) -> None:
            await place.progress(before + num_bytes, total)

        await downloader.fetch(file, place.folder / name, progress)
        done += file.size_bytes or 0


def _prepare(folder: Path, names: set[str]) -> None:
    """Keep what an earlier attempt got of these files, and nothing that it got of others."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        name = file.relative_to(folder).as_posix()
        if not any(name in (wanted, f"{wanted}.part", f"{wanted}.progress") for wanted in names):
            remove_tree(file)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
