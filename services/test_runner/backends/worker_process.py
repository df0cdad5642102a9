"""One generation worker: a child process that holds one model and speaks JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog

from services.chassis.errors import InvalidArgument, ResourceExhausted, ServiceError, TooLarge
from services.chassis.machine.memory import offer_to_kernel, outgrows
from services.chassis.machine.parent import child_environment
from services.chassis.telemetry import tracing
from services.lm import worker_protocol as protocol
from services.test_runner.ports.generation import BackendFaultError

_STDERR_LINES = 40
_STDERR_LIMIT = 1 << 20
_log = structlog.get_logger()

_REFUSALS: dict[str, type[ServiceError]] = {
    "invalid_argument": InvalidArgument,
    "resource_exhausted": ResourceExhausted,
}


@dataclass(frozen=True)
class WorkerTimeouts:
    """How long a worker may take, in seconds: silent while it loads its model, or generates; until it stops."""

    load_seconds: float = 600.0
    stall_seconds: float = 600.0
    cancel_seconds: float = 2.0


class WorkerProcess:
    """A child of this process. It ends when its stdin closes, so it cannot outlive its parent.

    It is ended when it takes more than `max_memory_bytes`; 0 is no limit.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, timeouts: WorkerTimeouts, max_memory_bytes: int = 0
    ) -> None:
        self._process = process
        self._timeouts = timeouts
        self._max_memory_bytes = max_memory_bytes
        self._is_too_large = False
        self._ids = itertools.count(1)
        self._busy_with = 0
        self._is_broken = False
        self._last_words: deque[str] = deque(maxlen=_STDERR_LINES)
        self._listening = asyncio.create_task(self._listen())
        self._weighing = asyncio.create_task(self._weigh())

    @classmethod
    async def start(cls, command: Sequence[str], timeouts: WorkerTimeouts, max_memory_bytes: int = 0) -> WorkerProcess:
        """Start a worker without waiting for its model."""
        process = await asyncio.create_subprocess_exec(
            *command,
            env=child_environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=protocol.MAX_LINE_BYTES,
        )
        offer_to_kernel(process.pid)
        _log.info("worker_started", worker_pid=process.pid)
        return cls(process, timeouts, max_memory_bytes)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def is_free(self) -> bool:
        """Whether it can take a request: it lives, and works on none that nobody waits for."""
        return self.is_alive and self._busy_with == 0 and not self._is_broken

    async def ready(self) -> protocol.Ready:
        """Wait until the model is loaded.

        Raises:
            BackendFaultError: The worker ended, or loaded for too long.
            ServiceError: The model cannot be loaded.
        """
        with tracing.span("generation worker: load", "CLIENT"):
            event = await self._read(self._timeouts.load_seconds)
        if not isinstance(event, protocol.Ready):
            raise BackendFaultError(f"The generation worker began with the event {event.event}.")
        return event

    async def generate(
        self, request_of: Callable[[int], protocol.Generate]
    ) -> AsyncGenerator[protocol.Answer | protocol.Delta | protocol.Progress]:
        """Yield every answer as it is finished, and signs of life between; ends when all are there.

        Left early, the worker is told to stop, and is busy for good when it does not within a moment.

        Raises:
            BackendFaultError: The worker broke; what was yielded is good.
            ServiceError: The worker refuses the prompts.
        """
        request, num_tokens = request_of(next(self._ids)), 0
        with tracing.span("generation worker: generate", "CLIENT") as facts:
            try:
                await self._write(request)
                async with aclosing(self._events(request.id, self._timeouts.stall_seconds)) as events:
                    async for event in events:
                        if isinstance(event, protocol.Answer):
                            num_tokens += len(event.token_ids)
                        if isinstance(event, protocol.Answer | protocol.Delta | protocol.Progress):
                            yield event
            finally:
                counts = {"num_prompts": len(request.prompts), "num_generated_tokens": num_tokens}
                facts.attributes |= {f"drillyard.{name}": number for name, number in counts.items()}
                if self._busy_with and not self._is_broken:
                    await self._cancel(request.id)

    async def preview(self, preview: protocol.Preview) -> protocol.Previewed:
        """Return how a prompt, or an answered one, is rendered; the id is given here.

        Raises:
            BackendFaultError: The worker broke.
            ServiceError: The model's template refuses the messages.
        """
        request = replace(preview, id=next(self._ids))
        await self._write(request)
        async with aclosing(self._events(request.id, self._timeouts.stall_seconds)) as events:
            async for event in events:
                if isinstance(event, protocol.Previewed):
                    return event
        raise BackendFaultError("The generation worker showed nothing.")

    async def stop(self) -> None:
        """End the process at once and collect it."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        self._weighing.cancel()
        await self._listening
        _log.info("worker_ended", worker_pid=self.pid)

    async def _events(self, request_id: int, seconds: float) -> AsyncGenerator[protocol.Event]:
        """Yield the events of a request up to its last; a refusal is its last one too."""
        while True:
            try:
                event = await self._read(seconds)
            except ServiceError:
                self._busy_with = 0
                raise
            except BackendFaultError:
                self._is_broken = True
                raise
            if getattr(event, "id", None) != request_id:
                continue
            if isinstance(event, protocol.Done | protocol.Previewed):
                self._busy_with = 0
            yield event
            if not self._busy_with:
                return

    async def _cancel(self, request_id: int) -> None:
        with contextlib.suppress(BackendFaultError, ServiceError, TimeoutError):
            async with asyncio.timeout(self._timeouts.cancel_seconds):
                await self._send_line(protocol.encode(protocol.Cancel(request_id)))
                async for _ in self._events(request_id, self._timeouts.cancel_seconds):
                    pass

    async def _write(self, request: protocol.Generate | protocol.Preview) -> None:
        try:
            line = await asyncio.to_thread(_encoded, request)
        except protocol.InvalidLine as error:
            raise InvalidArgument(error.problem, "Send text that is valid Unicode.") from error
        if len(line) > protocol.MAX_LINE_BYTES:
            raise TooLarge(
                f"The prompts take {len(line) >> 20} MiB together.", "Use a smaller window or shorter prompts."
            )
        self._busy_with = request.id
        await self._send_line(line)

    async def _send_line(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise await self._death() from error

    async def _read(self, seconds: float) -> protocol.Event:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        except TimeoutError as error:
            raise BackendFaultError(f"The generation worker was silent for {seconds:.0f} s.") from error
        except ValueError as error:
            raise BackendFaultError("The generation worker wrote a line that is too long.") from error
        if not line.endswith(b"\n"):
            raise await self._death()
        try:
            event = protocol.decode_event(line)
        except protocol.InvalidLine as error:
            raise BackendFaultError(f"The generation worker wrote something else than an event: {error}") from error
        if isinstance(event, protocol.Failed):
            raise self._failure(event)
        return event

    def _failure(self, event: protocol.Failed) -> Exception:
        refusal = _REFUSALS.get(event.code)
        if refusal is not None:
            return refusal(event.problem, event.next_step)
        _log.warning("worker_failed", worker_pid=self.pid, last_words="\n".join(self._last_words))
        return BackendFaultError(event.problem)

    async def _death(self) -> BackendFaultError:
        code = await self._process.wait()
        self._weighing.cancel()
        await self._listening
        _log.warning("worker_died", worker_pid=self.pid, exit_code=code, last_words="\n".join(self._last_words))
        if self._is_too_large:
            mebibytes = self._max_memory_bytes >> 20
            return BackendFaultError(f"The generation worker took more than {mebibytes} MiB of memory.")
        if code == -signal.SIGVTALRM:
            return BackendFaultError("The chat template computed without end; the generation worker was ended.")
        if code == -signal.SIGKILL:
            return BackendFaultError("The generation worker was killed; the machine may have run out of memory.")
        return BackendFaultError(f"The generation worker ended by itself with code {code}.")

    async def _weigh(self) -> None:
        """End the process when it takes too much memory, before the machine or the container does."""
        await outgrows(self.pid, self._max_memory_bytes)
        if self.is_alive:
            self._is_too_large = True
            self._process.kill()

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(_STDERR_LIMIT):
            self._last_words.extend(chunk.decode("utf-8", "replace").splitlines())


def _encoded(request: protocol.Generate | protocol.Preview) -> bytes:
    """Return the request as a line, encoded prompt by prompt: tens of megabytes at once would stop every thread."""
    if isinstance(request, protocol.Preview):
        return protocol.encode(request)
    before, after = protocol.encode(replace(request, prompts=())).split(b"[]", 1)
    head, tail = before + b"[", b"]" + after
    lines = (protocol.encode(replace(request, prompts=(prompt,))) for prompt in request.prompts)
    return head + b",".join(line[len(head) : -len(tail)] for line in lines) + tail
