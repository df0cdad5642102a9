"""A file's way to the disk, in threads: parts in parallel, tried again, hashed beside the reading."""

from __future__ import annotations

import contextvars
import hashlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.machine.hosts import HostPolicy
from services.chassis.status import full_disk_told
from services.registry.downloads.connections import Connections
from services.registry.downloads.partial_file import PartialFile, check_room
from services.registry.downloads.remote_file import ChangedFile, PassingFailure, RemoteFile
from services.registry.downloads.requests import FileRequests, RemoteFacts

T = TypeVar("T")

_WRITE_SECONDS = 0.05
_FIRST_PAUSE_SECONDS = 0.5
_LAST_PAUSE_SECONDS = 30.0
_HASH_BYTES = 1 << 20
# Small files have small parts, so that their beginning, which is hashed first, comes whole soon.
_LEAST_PART_BYTES = 4 << 20
_MOST_PARTS = 64
# No part is begun while so much waits to be hashed: both would end later.
_UNHASHED_BYTES = 32 << 20
_NUM_CHANGES = 3
_AGAIN = "Import again; when it stays so, ask who keeps the file."


@dataclass(frozen=True)
class DownloadLimits:
    """How files are fetched.

    Attributes:
        num_connections: Parts of one file that are fetched at once.
        part_bytes: Size of a part of a large file.
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


class _HaltedError(Exception):
    """The download was ended from outside, or by the failure of another of its threads."""


class Transfer:
    """One file's way from its host; its methods block.

    Attributes:
        done_bytes: What has come of it.
        total_bytes: Its size; 0 until it is known.
    """

    def __init__(self, policy: HostPolicy, limits: DownloadLimits, file: RemoteFile) -> None:
        self._limits, self._file = limits, file
        self._connections = Connections(policy.trusted_hosts, limits.stall_seconds)
        self._requests = FileRequests(self._connections, policy, file)
        self._has_grown = threading.Condition()
        self._halt, self._is_ended = threading.Event(), False
        self._num_hashed, self._is_hashed = 0, False
        self.done_bytes = 0
        self.total_bytes = file.size_bytes or 0

    def end(self) -> None:
        """Let all threads return soon."""
        self._is_ended = True
        self._halt_threads()

    def close(self) -> None:
        """Close the connections, which no thread uses any more."""
        self._connections.close()

    def _halt_threads(self) -> None:
        self._halt.set()
        self._connections.interrupt()
        self._wake()

    def facts(self) -> RemoteFacts:
        """Return what the host says of the file, asked time and again."""
        for number in range(self._limits.num_tries):
            try:
                return self._requests.facts()
            except PassingFailure as error:
                failure = error
                self._pause(number, error)
        raise _unavailable(self._file, failure)

    def run(self, target: Path, head_bytes: int = 0) -> None:
        """Fetch what is missing, check the digest, and let the file appear; raises as `Downloader.fetch`.

        With `head_bytes` only parts that hold some of so many first bytes are fetched, and lie where it arrives.
        """
        change = ChangedFile()
        for _ in range(_NUM_CHANGES):
            # What halted the threads of the last time has no part in this one.
            self._halt.clear()
            self._check_going_on()
            try:
                return self._run(target, self._usable_facts(), head_bytes)
            except ChangedFile as error:
                change = error
        raise FailedPrecondition(f"The file at {self._file.host} {change}.", _AGAIN)

    def _usable_facts(self) -> RemoteFacts:
        size = self._file.size_bytes
        # A digest settles what the file is; one part needs no host that takes ranges.
        if self._file.digest and size is not None and size <= self._part_bytes(size):
            return RemoteFacts(size, True, "")
        facts = self.facts()
        if size not in (None, facts.size_bytes):
            raise FailedPrecondition(
                f"The file at {self._file.host} has {facts.size_bytes} bytes, not the {size} that were announced.",
                _AGAIN,
            )
        return replace(facts, etag="") if self._file.digest else facts

    def _part_bytes(self, size: int) -> int:
        return min(self._limits.part_bytes, max(_LEAST_PART_BYTES, size // _MOST_PARTS))

    def _run(self, target: Path, facts: RemoteFacts, head_bytes: int) -> None:
        size = self.total_bytes = facts.size_bytes
        part_bytes = self._part_bytes(size) if facts.takes_ranges else max(size, 1)
        identity = self._file.digest or facts.etag or self._file.url
        check_room(target, size)
        with PartialFile(target, size, part_bytes=part_bytes, identity=identity) as partial:
            try:
                num_resumed = self._tell(partial)
                parts = partial.missing_parts()
                if head_bytes:
                    self._fetch_parts(partial, facts, [part for part in parts if part * part_bytes < head_bytes], "")
                    return
                digest = self._fetch_parts(partial, facts, parts, self._file.digest.partition(":")[0])
                if self._file.digest and digest != self._file.digest:
                    raise ChangedFile("has changed") if num_resumed else _other_digest(self._file, digest)
            except (ChangedFile, FailedPrecondition):
                partial.clear()
                raise
            partial.finish(synced=not self._file.digest)

    def _fetch_parts(self, partial: PartialFile, facts: RemoteFacts, numbers: list[int], hash_name: str) -> str:
        parts, self._is_hashed = deque(numbers), bool(hash_name)
        num_workers = min(self._limits.num_connections, len(parts))
        self._num_hashed = 0
        with ThreadPoolExecutor(num_workers + 1, "download") as threads:
            hashing = _submit(threads, lambda: self._hash(partial, facts, hash_name))
            works: list[Future[Any]] = [hashing]
            works += [_submit(threads, lambda: self._work(partial, facts, parts)) for _ in range(num_workers)]
            done, _ = wait(works, return_when=FIRST_EXCEPTION)
            if any(work.exception() for work in done):
                self._halt_threads()
        failures = [failure for failure in (work.exception() for work in works) if failure]
        for failure in sorted(failures, key=lambda error: isinstance(error, _HaltedError)):
            raise failure
        return hashing.result()

    def _work(self, partial: PartialFile, facts: RemoteFacts, parts: deque[int]) -> None:
        while True:
            with self._has_grown:
                self._has_grown.wait_for(lambda: self._is_hashing_close(partial) or self._halt.is_set())
                self._check_going_on()
                if not parts:
                    return
                part = parts.popleft()
            self._fetch_part(partial, facts, part)

    def _is_hashing_close(self, partial: PartialFile) -> bool:
        return not self._is_hashed or partial.leading_bytes - self._num_hashed <= _UNHASHED_BYTES

    def _fetch_part(self, partial: PartialFile, facts: RemoteFacts, part: int) -> None:
        num_failures = 0
        while partial.missing_span(part)[0] <= partial.missing_span(part)[1]:
            begin = partial.missing_span(part)[0]
            try:
                if not facts.takes_ranges:
                    partial.clear()
                self._receive(partial, facts, part)
            except PassingFailure as error:
                num_failures = 1 if partial.missing_span(part)[0] > begin else num_failures + 1
                if num_failures >= self._limits.num_tries:
                    raise _unavailable(self._file, error) from error
                self._pause(num_failures - 1, error)

    def _receive(self, partial: PartialFile, facts: RemoteFacts, part: int) -> None:
        span = partial.missing_span(part)
        num_left = span[1] - span[0] + 1
        buffer = memoryview(bytearray(self._limits.write_bytes))
        num_kept, write_time = 0, time.monotonic() + _WRITE_SECONDS
        try:
            with self._requests.part(span, facts.size_bytes, facts.etag) as answer:
                while num_read := answer.read_into(buffer[num_kept:]):
                    self._check_going_on()
                    num_kept += num_read
                    if num_kept > num_left:
                        raise _longer(self._file, facts.size_bytes)
                    if num_kept == len(buffer) or time.monotonic() > write_time:
                        write_time = time.monotonic() + _WRITE_SECONDS
                        num_taken, num_left, num_kept = num_kept, num_left - num_kept, 0
                        self._write(partial, part, buffer[:num_taken])
        finally:
            self._write(partial, part, buffer[: num_kept if num_kept <= num_left else 0])
        if num_left > num_kept:
            raise PassingFailure(f"{self._file.host} sends less than it announced.")

    def _write(self, partial: PartialFile, part: int, content: memoryview) -> None:
        with full_disk_told():
            partial.write(part, content)
        self._tell(partial)

    def _tell(self, partial: PartialFile) -> int:
        self.done_bytes = partial.done_bytes
        self._wake()
        return self.done_bytes

    def _wake(self) -> None:
        with self._has_grown:
            self._has_grown.notify_all()

    def _hash(self, partial: PartialFile, facts: RemoteFacts, name: str) -> str:
        """Return the digest of the content; it is computed as far as the beginning has come without a gap."""
        hasher, buffer, size = hashlib.sha256(), memoryview(bytearray(_HASH_BYTES)), facts.size_bytes
        # A host without ranges begins anew after each break: what is written again must not have been hashed before.
        least = 0 if facts.takes_ranges else size - 1
        if name == "git-sha1":
            hasher = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        while name and self._num_hashed < size:
            with self._has_grown:
                self._has_grown.wait_for(
                    lambda: partial.leading_bytes > max(self._num_hashed, least) or self._halt.is_set()
                )
            self._check_going_on()
            num_bytes = partial.read(self._num_hashed, buffer[: partial.leading_bytes - self._num_hashed])
            hasher.update(buffer[:num_bytes])
            self._num_hashed += num_bytes
            self._wake()
        return f"{name}:{hasher.hexdigest()}"

    def _pause(self, number: int, failure: PassingFailure) -> None:
        """Wait after the failure with this number, from 0; spread, so that parts don't knock at once."""
        longest = min(_FIRST_PAUSE_SECONDS * 2**number, _LAST_PAUSE_SECONDS)
        self._halt.wait(max(failure.retry_after_seconds, random.uniform(longest / 2, longest)))
        self._check_going_on()

    def _check_going_on(self) -> None:
        if self._is_ended or self._halt.is_set():
            raise _HaltedError


def _submit(threads: ThreadPoolExecutor, function: Callable[[], T]) -> Future[T]:
    """Run it in a thread that knows of the job's lease."""
    return threads.submit(contextvars.copy_context().run, function)


def _unavailable(file: RemoteFile, failure: PassingFailure) -> Unavailable:
    return Unavailable(failure.problem, f"Check the way to {file.host}, then import again.")


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
