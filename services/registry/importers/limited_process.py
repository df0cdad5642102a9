"""Starts a module in a limited process and reads its JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog

from services.chassis.errors import InvalidArgument, ResourceExhausted, TooLarge
from services.chassis.machine.memory import offer_to_kernel
from services.chassis.machine.parent import child_environment

_MAX_LINE_BYTES = 4 * 1024**2
_MAX_TRACE_BYTES = 8 * 1024
_LAUNCHER = "services.registry.importers.limits"
_log = structlog.get_logger()

OnLine = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """What a process may use; it is ended when it needs more, or after `wall_seconds`.

    Attributes:
        subject: What it reads, as the beginning of the sentence that says why it ended.
    """

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int
    wall_seconds: float
    subject: str = "The model's files"


async def run_limited(
    module: str,
    arguments: Sequence[str],
    limits: Limits,
    on_line: OnLine,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `python -m module arguments` and await `on_line` for each JSON object that it prints.

    It gets no secret and no setting but those in `environment`.

    A process that ends with another status than 0, having said why in its last line, has ended well.

    Raises:
        ResourceExhausted: It needed more than it may.
        InvalidArgument: It broke down on what it was given.
    """
    last: dict[str, Any] = {}
    async with _started(module, arguments, limits, environment or {}) as process:
        trace = asyncio.create_task(_tail(process.stderr))
        try:
            async with asyncio.timeout(limits.wall_seconds):
                async for line in _lines(process.stdout):
                    last = line
                    await on_line(line)
                status = await process.wait()
        except TimeoutError as error:
            raise _too_much(limits, f"more than {limits.wall_seconds:.0f} s") from error
        finally:
            text = await _read(trace, process)
    if status and "problem" not in last:
        _log.warning("limited_process_failed", module=module, status=status, trace=text)
        raise _reason(status, limits, text)


@asynccontextmanager
async def _started(
    module: str, arguments: Sequence[str], limits: Limits, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    text = f"{limits.memory_bytes}:{limits.cpu_seconds}:{limits.file_bytes}"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", _LAUNCHER, text, module, *arguments),
        env={**child_environment(), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_MAX_LINE_BYTES,
        start_new_session=True,
    )
    offer_to_kernel(process.pid)
    try:
        yield process
    finally:
        _kill(process)
        await asyncio.shield(process.wait())


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _lines(stream: asyncio.StreamReader | None) -> AsyncIterator[dict[str, Any]]:
    while stream is not None:
        try:
            # Both a line that is too long and one that isn't JSON are a ValueError.
            raw = await stream.readline()
            line = json.loads(raw or b"{}")
        except ValueError as error:
            raise InvalidArgument("The reader of the files gave no readable answer.", _CHECK_FILE) from error
        if not raw:
            return
        if isinstance(line, dict):
            yield line


async def _tail(stream: asyncio.StreamReader | None) -> str:
    tail = b""
    while stream is not None and (block := await stream.read(_MAX_TRACE_BYTES)):
        tail = (tail + block)[-_MAX_TRACE_BYTES:]
    return tail.decode("utf-8", "replace")


async def _read(trace: asyncio.Task[str], process: asyncio.subprocess.Process) -> str:
    _kill(process)
    return await asyncio.shield(trace)


def _reason(status: int, limits: Limits, trace: str) -> InvalidArgument | ResourceExhausted:
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return _too_much(limits, f"more than {limits.cpu_seconds} s of computing")
    if "MemoryError" in trace:
        return _too_much(limits, f"more than {limits.memory_bytes} bytes of memory")
    if "File too large" in trace:
        return _too_much(limits, f"to write more than {limits.file_bytes} bytes")
    if "No space left on device" in trace:
        return ResourceExhausted("The disk became full while a file was written.", "Free space and import again.")
    return InvalidArgument(f"{limits.subject} made its reader fail.", _CHECK_FILE)


def _too_much(limits: Limits, amount: str) -> TooLarge:
    return TooLarge(f"{limits.subject} needed {amount} to be read.", _CHECK_FILE)


_CHECK_FILE = "Fetch it again from a source that you trust, then import it again."
