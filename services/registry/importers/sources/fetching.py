"""Several files as one: their sizes are told first, and progress counts the bytes of all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from services.chassis.errors import InvalidArgument, ResourceExhausted
from services.chassis.machine.files import remove_tree
from services.registry.downloads.download import Downloader
from services.registry.downloads.partial_file import kept_bytes
from services.registry.downloads.remote_file import RemoteFile
from services.registry.downloads.sharing import shared_content
from services.registry.importers.inspection import ask
from services.registry.ports import FetchPlace

_CONVERSION = "services.lm.conversion"
_SHARED = "sha256:"
# The smallest numbers have 1.56 bits, and 16 once they can be trained.
_MOST_GROWTH = 11
# Most headers end in the first of these; what comes after the last is not waited for.
_HEAD_BYTES = (8 << 20, 32 << 20, 96 << 20)


async def fetch_all(downloader: Downloader, files: Mapping[str, RemoteFile], place: FetchPlace) -> None:
    """Fetch files by where they go in the place's folder, in which nothing else is left.

    Raises:
        ResourceExhausted: The disk has no room for all that is fetched and made of it; told before the first byte, or
            after the header of a GGUF, whose numbers take more room once they can be trained, where that may matter.
        NotFound, PermissionDenied, FailedPrecondition, Unavailable: As `Downloader.fetch`.
    """
    known = {
        name: file if file.size_bytes is not None else await downloader.describe(file) for name, file in files.items()
    }
    total = sum(file.size_bytes or 0 for file in known.values())
    await asyncio.to_thread(_prepare, place.folder, set(files))
    async with AsyncExitStack() as turns:
        await _share(known, place, total, turns)
        await _check_space(downloader, known, place)
        done = 0
        for name, file in known.items():
            before = done

            async def progress(num_bytes: int, _total: int, before: int = before) -> None:
                await place.progress(before + num_bytes, total)

            await downloader.fetch(file, place.folder / name, progress)
            done += file.size_bytes or 0


async def _share(files: Mapping[str, RemoteFile], place: FetchPlace, total: int, turns: AsyncExitStack) -> None:
    """Wait while other imports fetch what these files hold, and link what they have fetched."""

    async def waiting(done: int) -> None:
        await place.progress(done, total)

    targets = {file.digest: place.folder / name for name, file in files.items() if file.digest.startswith(_SHARED)}
    # All imports take their turns in one order, so that no two wait for each other.
    for digest, target in sorted(targets.items()):
        await turns.enter_async_context(shared_content(place.shared, digest, target, waiting))


async def _check_space(downloader: Downloader, files: Mapping[str, RemoteFile], place: FetchPlace) -> None:
    sizes = {name: file.size_bytes or 0 for name, file in files.items()}
    missing = sum(sizes.values()) - sum(kept_bytes(place.folder / name) for name in files)
    place.check_space(missing, sum(sizes.values()))
    most = sum(size * (_MOST_GROWTH if _is_gguf(name) else 1) for name, size in sizes.items())
    try:
        place.check_space(missing, most)
    except ResourceExhausted:
        written = [await _written_bytes(downloader, file, place.folder / name) for name, file in files.items()]
        place.check_space(missing, sum(written))


def _is_gguf(name: str) -> bool:
    return name.lower().endswith(".gguf")


async def _written_bytes(downloader: Downloader, file: RemoteFile, target: Path) -> int:
    """Return how many bytes are made of a file; of a GGUF its header tells, whose bytes are fetched first and kept."""
    size = file.size_bytes or 0
    if not _is_gguf(target.name):
        return size
    for head_bytes in _HEAD_BYTES:
        place = await downloader.fetch_head(file, target, head_bytes)
        try:
            return int((await ask(_CONVERSION, ("size", str(place))))["written_bytes"])
        except InvalidArgument:
            # It isn't there to its end yet; of what is no GGUF the check that follows says why.
            if head_bytes >= size:
                break
    return size


def _prepare(folder: Path, names: set[str]) -> None:
    """Keep what an earlier attempt got of these files, and nothing that it got of others."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        name = file.relative_to(folder).as_posix()
        if not any(name in (wanted, f"{wanted}.part", f"{wanted}.progress") for wanted in names):
            remove_tree(file)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
