"""One download: parts in parallel, tried again, resumed, and checked before the file appears."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import httpx2

from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.machine.guarded_http import open_client
from services.chassis.machine.hosts import HostPolicy
from services.chassis.status import full_disk_told
from services.registry.downloads.partial_file import PartialFile, check_room
from services.registry.downloads.remote_file import ChangedFile, PassingFailure, RemoteFile
from services.registry.downloads.requests import FileRequests, RemoteFacts
from services.registry.ports import Progress

P = ParamSpec("P")
T = TypeVar("T")

_UNBOUNDED = 1 << 62
_READ_BYTES = 1 << 20
_WRITE_SECONDS = 0.05
_FIRST_PAUSE_SECONDS = 0.5
_LAST_PAUSE_SECONDS = 30.0
_HASH_BYTES = 8 << 20
_NUM_CHANGES = 3
_AGAIN = "Import again; when it stays so, ask who keeps the file."


@dataclass(frozen=True)
class DownloadLimits:
    """How files are fetched.

    Attributes:
        num_connections: Parts of one file that are fetched at once.
        part_bytes: Size of a part.
        write_bytes: So much is kept in memory, for each part, before it is written, and for no longer than 50 ms: a
            process that is killed loses no more.
        stall_seconds: A connection on which nothing comes for so long is given up.
        num_tries: Failures in a row, without a byte between them, after which a download fails.
    """

    num_connections: int = 4
    part_bytes: int = 64 << 20
    write_bytes: int = 1 << 20
    stall_seconds: float = 30.0
    num_tries: int = 12


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
        self._policy.check_host(file.host)
        async with self._client() as client:
            requests = FileRequests(client, self._policy, file)
            return replace(file, size_bytes=(await self._persistently(requests.facts, file)).size_bytes)

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
        self._policy.check_host(file.host)
        if await asyncio.to_thread(_is_there, file, target):
            size_bytes = (await asyncio.to_thread(target.stat)).st_size
            return await progress(size_bytes, size_bytes)
        async with self._client() as client:
            requests = FileRequests(client, self._policy, file)
            change = ChangedFile()
            for _ in range(_NUM_CHANGES):
                try:
                    facts = await self._facts(requests, file)
                    return await _Download(self._limits, requests, file, facts, progress).run(target)
                except ChangedFile as error:
                    change = error
        raise FailedPrecondition(f"The file at {file.host} {change}.", _AGAIN)

    async def _facts(self, requests: FileRequests, file: RemoteFile) -> RemoteFacts:
        # A digest settles what the file is; one part needs no host that takes ranges.
        if file.digest and file.size_bytes is not None and file.size_bytes <= self._limits.part_bytes:
            return RemoteFacts(file.size_bytes, True, "")
        facts = await self._persistently(requests.facts, file)
        if file.size_bytes not in (None, facts.size_bytes):
            raise FailedPrecondition(
                f"The file at {file.host} has {facts.size_bytes} bytes, not the {file.size_bytes} that were announced.",
                _AGAIN,
            )
        return replace(facts, etag="") if file.digest else facts

    async def _persistently(self, call: Callable[[], Awaitable[T]], file: RemoteFile) -> T:
        for number in range(self._limits.num_tries):
            try:
                return await call()
            except PassingFailure as error:
                failure = error
                await asyncio.sleep(pause_seconds(number, error))
        raise unavailable(file, failure)

    def _client(self) -> httpx2.AsyncClient:
        trusted = self._policy.trusted_hosts
        client = open_client(trusted, max_body_bytes=_UNBOUNDED, read_bytes=_READ_BYTES)
        client.timeout = httpx2.Timeout(self._limits.stall_seconds, connect=10.0)
        return client


class _Download:
    """One file's way to the disk."""

    def __init__(
        self, limits: DownloadLimits, requests: FileRequests, file: RemoteFile, facts: RemoteFacts, progress: Progress
    ) -> None:
        self._limits = limits
        self._requests = requests
        self._file = file
        self._facts = facts
        self._progress = progress
        self._has_grown = asyncio.Event()

    async def run(self, target: Path) -> None:
        """Fetch what is missing, check the digest, and let the file appear.

        Raises:
            ChangedFile: What has come is forgotten; begin again.
        """
        size = self._facts.size_bytes
        part_bytes = self._limits.part_bytes if self._facts.takes_ranges else max(size, 1)
        identity = self._file.digest or self._facts.etag or self._file.url
        check_room(target, size)
        with PartialFile(target, size, part_bytes=part_bytes, identity=identity) as partial:
            try:
                num_resumed = partial.done_bytes
                digest = await self._fetch_parts(partial)
                if self._file.digest and digest != self._file.digest:
                    raise ChangedFile("has changed") if num_resumed else _other_digest(self._file, digest)
            except (ChangedFile, FailedPrecondition):
                partial.clear()
                raise
            await _in_thread(partial.finish, synced=not self._file.digest)

    async def _fetch_parts(self, partial: PartialFile) -> str:
        parts = deque(partial.missing_parts())
        hashing = asyncio.create_task(self._hash(partial))
        await self._progress(partial.done_bytes, self._facts.size_bytes)
        tasks = [asyncio.create_task(self._work(partial, parts)) for _ in range(self._limits.num_connections)]
        try:
            await asyncio.gather(*tasks)
            self._has_grown.set()
            return await hashing
        finally:
            for task in (*tasks, hashing):
                task.cancel()
            await asyncio.gather(*tasks, hashing, return_exceptions=True)

    async def _work(self, partial: PartialFile, parts: deque[int]) -> None:
        while parts:
            await self._fetch_part(partial, parts.popleft())

    async def _fetch_part(self, partial: PartialFile, part: int) -> None:
        num_failures = 0
        while partial.missing_span(part)[0] <= partial.missing_span(part)[1]:
            begin = partial.missing_span(part)[0]
            try:
                if not self._facts.takes_ranges:
                    partial.clear()
                await self._receive(partial, part)
            except PassingFailure as error:
                num_failures = 1 if partial.missing_span(part)[0] > begin else num_failures + 1
                if num_failures >= self._limits.num_tries:
                    raise unavailable(self._file, error) from error
                await asyncio.sleep(pause_seconds(num_failures - 1, error))

    async def _receive(self, partial: PartialFile, part: int) -> None:
        span = partial.missing_span(part)
        num_left = span[1] - span[0] + 1
        pieces: list[bytes] = []
        num_kept, write_time = 0, time.monotonic() + _WRITE_SECONDS
        try:
            async with self._requests.part(span, self._facts.size_bytes, self._facts.etag) as response:
                async for piece in response.aiter_raw():
                    pieces.append(piece)
                    num_kept += len(piece)
                    if num_kept > num_left:
                        raise _longer(self._file, self._facts.size_bytes)
                    if num_kept >= self._limits.write_bytes or time.monotonic() > write_time:
                        write_time = time.monotonic() + _WRITE_SECONDS
                        taken, pieces, num_left, num_kept = pieces, [], num_left - num_kept, 0
                        await _in_thread(self._write, partial, part, taken)
                        await self._tell(partial)
        finally:
            self._write(partial, part, pieces[: None if num_kept <= num_left else 0])
        await self._tell(partial)
        if num_left > num_kept:
            raise PassingFailure(f"{self._file.host} sends less than it announced.")

    def _write(self, partial: PartialFile, part: int, pieces: list[bytes]) -> None:
        with full_disk_told():
            partial.write(part, pieces)

    async def _tell(self, partial: PartialFile) -> None:
        self._has_grown.set()
        await self._progress(partial.done_bytes, self._facts.size_bytes)

    async def _hash(self, partial: PartialFile) -> str:
        """Return the digest of the content; it is computed as far as the beginning has come without a gap."""
        name, _, _ = self._file.digest.partition(":")
        size, place = self._facts.size_bytes, 0
        hasher = hashlib.sha256()
        if name == "git-sha1":
            hasher = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        while place < size and name:
            self._has_grown.clear()
            end = min(partial.leading_bytes, place + _HASH_BYTES)
            if end == place:
                await self._has_grown.wait()
                continue
            await _in_thread(_hash_span, hasher, partial, place, end)
            place = end
        return f"{name}:{hasher.hexdigest()}"


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `asyncio.to_thread`, but a cancel waits for the thread: the file must not be closed below it."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait((work,))
        raise


def _hash_span(hasher: hashlib._Hash, partial: PartialFile, begin: int, end: int) -> None:
    hasher.update(partial.read(begin, end - begin))


def pause_seconds(number: int, failure: PassingFailure) -> float:
    """Return how long to wait after the failure with this number, from 0; spread, so that parts don't knock at once."""
    longest = min(_FIRST_PAUSE_SECONDS * 2**number, _LAST_PAUSE_SECONDS)
    return max(failure.retry_after_seconds, random.uniform(longest / 2, longest))


def unavailable(file: RemoteFile, failure: PassingFailure) -> Unavailable:
    """Return the error for a host that failed too often."""
    return Unavailable(failure.problem, f"Check the way to {file.host}, then import again.")


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


def _other_digest(file: RemoteFile, digest: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The content that {file.host} sends has digest {digest}, not {file.digest}.",
        _AGAIN,
    )


def _longer(file: RemoteFile, size_bytes: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"The content that {file.host} sends is longer than the {size_bytes} bytes that it announces.",
        _AGAIN,
    )
