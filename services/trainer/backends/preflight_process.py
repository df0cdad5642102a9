"""Looking at rows in a process of its own, since it needs the tokenizer library and runs foreign templates."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque

import structlog
from pydantic import TypeAdapter, ValidationError

from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.machine.memory import offer_to_kernel, outgrows
from services.chassis.machine.parent import child_environment
from services.chassis.waiting import Places
from services.trainer.domain.preflight import PreflightRequest, RowsReport

_COMMAND = (sys.executable, "-m", "services.trainer.training.preflight")
_IDLE_SECONDS = 600.0
# Beside the time that the request allows: to start, to read suites and tokenizer, and one row that takes long.
_GRACE_SECONDS = 90.0
_MAX_MEMORY_BYTES = 4 << 30
_MAX_LINE_BYTES = 8 << 20
_MAX_WAITING = 16
_STDERR_LINES = 40
_REQUESTS = TypeAdapter(PreflightRequest)
_REPORTS = TypeAdapter(RowsReport)
_log = structlog.get_logger()


class PreflightProcess:
    """Answers the port `RowsReader`; the process stays for some minutes, and ends with its parent at the latest.

    Args:
        idle_seconds: After so long without a request the process is ended.
        command: What is started.
    """

    def __init__(self, *, idle_seconds: float = _IDLE_SECONDS, command: tuple[str, ...] = _COMMAND) -> None:
        self._idle_seconds = idle_seconds
        self._command = command
        self._places = Places("preflights", num_running=1, num_waiting=_MAX_WAITING)
        self._process: asyncio.subprocess.Process | None = None
        self._attendants: tuple[asyncio.Task[None], ...] = ()
        self._idle: asyncio.TimerHandle | None = None
        self._last_words: deque[str] = deque(maxlen=_STDERR_LINES)

    async def look(self, request: PreflightRequest) -> RowsReport:
        """Return what is known of the rows by the end of the request's time; asked again, it knows more."""
        async with self._places.place():
            if self._idle:
                self._idle.cancel()
            is_whole = False
            try:
                async with asyncio.timeout(request.seconds + _GRACE_SECONDS):
                    line = await self._ask(_REQUESTS.dump_json(request) + b"\n")
                report = _read(line)
                is_whole = True
                return report
            except FailedPrecondition:
                is_whole = True
                raise
            except (TimeoutError, ValueError, LookupError, OSError, EOFError, asyncio.LimitOverrunError) as error:
                _log.warning("preflight_failed", reason=repr(error), last_words="\n".join(self._last_words))
                raise Unavailable(
                    "The process that looks at rows broke down, or took too long or too much memory.",
                    "Try again; a smaller dataset may help.",
                ) from error
            finally:
                # What was cut short would answer the next request.
                if not is_whole:
                    await asyncio.shield(self.close())
                self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._end)

    async def close(self) -> None:
        """End the process and collect it."""
        if self._idle:
            self._idle.cancel()
        self._end()
        if self._process:
            await self._process.wait()
        await asyncio.gather(*self._attendants, return_exceptions=True)

    def _end(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()
        for attendant in self._attendants:
            attendant.cancel()

    async def _ask(self, request: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            await self._start()
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(request)
        await self._process.stdin.drain()
        return await self._process.stdout.readuntil(b"\n")

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            "--parent-pid",
            str(os.getpid()),
            env={**child_environment(), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
        )
        offer_to_kernel(self._process.pid)
        self._attendants = (
            asyncio.create_task(self._weigh(self._process)),
            asyncio.create_task(self._listen(self._process)),
        )

    async def _weigh(self, process: asyncio.subprocess.Process) -> None:
        await outgrows(process.pid, _MAX_MEMORY_BYTES)
        if process.returncode is None:
            self._last_words.append(f"It took more than {_MAX_MEMORY_BYTES >> 20} MiB of memory.")
            process.kill()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr
        while chunk := await process.stderr.read(1 << 16):
            self._last_words.extend(chunk.decode("utf-8", "replace").splitlines())


def _read(line: bytes) -> RowsReport:
    try:
        return _REPORTS.validate_json(line)
    except ValidationError:
        refusal = TypeAdapter(dict[str, str]).validate_json(line)["refusal"]
    raise FailedPrecondition(f"The training cannot begin: {refusal[:500]}", "Choose another model, or import it again.")
