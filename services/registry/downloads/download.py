"""Downloads as jobs see them: asynchronous, with progress, and ended by a cancel."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from services.chassis.machine.hosts import HostPolicy
from services.registry.downloads.partial_file import content_path
from services.registry.downloads.remote_file import RemoteFile
from services.registry.downloads.transfer import DownloadLimits, Transfer
from services.registry.ports import Progress

T = TypeVar("T")

_TELL_SECONDS = 0.1


class Downloader:
    """Fetches files of hosts that the operator allows."""

    def __init__(self, policy: HostPolicy, limits: DownloadLimits | None = None) -> None:
        self._policy = policy
        self._limits = limits or DownloadLimits()

    async def describe(self, file: RemoteFile) -> RemoteFile:
        """Return the file with the size that its host tells.

        Raises:
            NotFound, PermissionDenied, FailedPrecondition, Unavailable: As `fetch`.
        """
        transfer = self._transfer(file)
        return replace(file, size_bytes=(await _in_thread(transfer, transfer.facts)).size_bytes)

    async def fetch(self, file: RemoteFile, target: Path, progress: Progress) -> None:
        """Let the file appear at `target`; what an earlier, killed call got lies beside it and is not fetched again.

        Args:
            file: The file. A size or digest that it names must be the file's.
            target: Where it appears, whole and checked; its folder is this download's own.
            progress: Told the bytes that have come, and all.

        Raises:
            NotFound: The host has no such file.
            PermissionDenied: The host, or one that it redirects to, may not be asked, or does not give it
                (`SourceRefused`).
            FailedPrecondition: It has another size or digest than `file` says, or changes all the time.
            ResourceExhausted: The disk has no room for it.
            Unavailable: The host did not answer to the end, time and again.
        """
        transfer = self._transfer(file)
        if await asyncio.to_thread(_is_there, file, target):
            size_bytes = (await asyncio.to_thread(target.stat)).st_size
            await progress(size_bytes, size_bytes)
        else:
            await _in_thread(transfer, lambda: transfer.run(target), progress)
            await progress(transfer.done_bytes, transfer.done_bytes)

    async def fetch_head(self, file: RemoteFile, target: Path, num_bytes: int) -> Path:
        """Return where a file's first bytes, and some more, lie; `fetch` goes on from there, and raises alike."""
        transfer = self._transfer(file)
        if await asyncio.to_thread(target.exists):
            return target
        await _in_thread(transfer, lambda: transfer.run(target, num_bytes))
        return content_path(target)

    def _transfer(self, file: RemoteFile) -> Transfer:
        self._policy.check_host(file.host)
        return Transfer(self._policy, self._limits, file)


async def _in_thread(transfer: Transfer, function: Callable[[], T], progress: Progress | None = None) -> T:
    """Return what it returns; a cancel ends the transfer and waits for its threads."""
    threads = ThreadPoolExecutor(1, "download")
    work = asyncio.get_running_loop().run_in_executor(threads, contextvars.copy_context().run, function)
    try:
        while not (await asyncio.wait((work,), timeout=_TELL_SECONDS))[0]:
            if progress:
                await progress(transfer.done_bytes, transfer.total_bytes)
        return work.result()
    finally:
        transfer.end()
        await asyncio.wait((work,))
        # Looked at after a cancel too, so that the event loop does not report it as lost.
        work.exception()
        transfer.close()
        threads.shutdown()


def _is_there(file: RemoteFile, target: Path) -> bool:
    """Whether an earlier call finished the file, and its bytes reached the disk."""
    if not target.is_file():
        return False
    name, _, digest = file.digest.partition(":")
    with target.open("rb") as stream:
        if not name or (name == "sha256" and hashlib.file_digest(stream, "sha256").hexdigest() == digest):
            return True
    target.unlink()
    return False
