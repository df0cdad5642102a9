"""Generation by transformers models in worker processes of this machine, one per loaded model."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from services.lm import worker_protocol as protocol
from services.test_runner.backends.worker_answers import (
    answer_of,
    delta_of,
    environment_of,
    generate_of,
    prompt_to_worker,
)
from services.test_runner.backends.worker_process import Patience, WorkerProcess
from services.test_runner.domain import Artifact, Environment, Sampling
from services.test_runner.ports import Activity, GenerationEvent, Prepared, Prompt, Rendered, Workload
from services.test_runner.telemetry import TestRunnerTelemetry

WORKER_COMMAND = (sys.executable, "-m", "services.lm.worker")

Placing = Callable[[str], Awaitable[Path]]


@dataclass(frozen=True)
class WorkerLimits:
    """How many workers there are, and how they work; 0 leaves `max_batch` and `num_threads` to the worker."""

    max_workers: int = 1
    idle_seconds: float = 60.0
    max_batch: int = 0
    num_threads: int = 0
    device: str = "auto"
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class _Key:
    """Workers of one key are interchangeable."""

    base_uri: str
    adapter_uri: str
    dtype: str
    num_threads: int
    device: str


@dataclass
class _Loaded:
    key: _Key
    worker: WorkerProcess
    environment: Environment
    expiry: asyncio.TimerHandle | None = None

    def serves(self, key: _Key) -> bool:
        """Whether it was started for `key`, or for one that left open what `key` asks for and got just that."""
        known, ran = self.key, self.environment
        return (
            (key.base_uri, key.adapter_uri) == (known.base_uri, known.adapter_uri)
            and key.dtype in (known.dtype, ran.dtype)
            and key.num_threads in (known.num_threads, ran.num_threads)
            and key.device in (known.device, ran.device)
        )


class TransformersWorkerBackend:
    """Keeps at most `max_workers` models loaded.

    A worker without work is ended after `idle_seconds`, or as soon as another model needs its place.
    """

    def __init__(
        self,
        *,
        place: Placing,
        telemetry: TestRunnerTelemetry,
        limits: WorkerLimits,
        command: tuple[str, ...] = WORKER_COMMAND,
    ) -> None:
        self._place = place
        self._telemetry = telemetry
        self._limits = limits
        self._command = command
        self._slots = asyncio.Semaphore(limits.max_workers)
        self._idle: list[_Loaded] = []
        self._running: set[WorkerProcess] = set()
        self._endings: set[asyncio.Task[None]] = set()

    async def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        """Yield `Prepared`, then every answer as it is finished, with activity between.

        Raises:
            BackendFaultError: The worker broke; answers that were yielded are good.
            ServiceError: The model cannot be loaded, or the prompts cannot be answered.
        """
        yield Activity("load_model")
        async with self._lent(workload) as loaded:
            yield Prepared(loaded.environment)
            async with aclosing(self._answers(loaded.worker, workload)) as answers:
                async for event in answers:
                    yield event

    async def render(self, base: Artifact, adapter: Artifact | None, prompt: Prompt) -> Rendered:
        """Return what the model reads.

        Raises:
            BackendFaultError: The worker broke.
            ServiceError: The model cannot be loaded, or its template refuses the messages.
        """
        async with self._lent(Workload(base, adapter, (prompt,), Sampling())) as loaded:
            shown = await loaded.worker.preview(prompt_to_worker(prompt, 1))
        return Rendered(shown.text, shown.token_ids, shown.tokens)

    async def close(self) -> None:
        """End all workers."""
        for loaded in self._idle:
            if loaded.expiry is not None:
                loaded.expiry.cancel()
        self._idle.clear()
        for worker in list(self._running):
            await self._end(worker)
        await asyncio.gather(*self._endings)

    @asynccontextmanager
    async def _lent(self, workload: Workload) -> AsyncIterator[_Loaded]:
        async with self._slots:
            loaded = await self._load(self._key(workload))
            try:
                yield loaded
            finally:
                # A worker that would not stop when its stream was left is still busy with it.
                await (self._keep(loaded) if loaded.worker.is_free else self._end(loaded.worker))

    async def _answers(self, worker: WorkerProcess, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        yield Activity("generate")
        generating = worker.generate(partial(generate_of, workload=workload, max_batch=self._limits.max_batch))
        async with aclosing(generating) as events:
            async for event in events:
                match event:
                    case protocol.Progress():
                        yield Activity("generate", event.tokens, event.active)
                    case protocol.Delta():
                        yield delta_of(event)
                    case protocol.Answer():
                        yield answer_of(event)

    def _key(self, workload: Workload) -> _Key:
        assert workload.base is not None
        adapter = workload.adapter.uri if workload.adapter else ""
        num_threads, device = workload.num_threads or self._limits.num_threads, workload.device or self._limits.device
        return _Key(workload.base.uri, adapter, workload.dtype, num_threads, device)

    async def _load(self, key: _Key) -> _Loaded:
        known = self._take_idle(key)
        if known is not None:
            return known
        while self._idle and len(self._running) >= self._limits.max_workers:
            await self._end(self._leave_idle(self._idle[0]).worker)
        since = time.monotonic()
        worker = await WorkerProcess.start(await self._command_for(key), self._limits.patience)
        self._running.add(worker)
        self._telemetry.set_workers(len(self._running))
        try:
            ready = await worker.ready()
        except BaseException:
            await self._end(worker)
            raise
        self._telemetry.worker_ready(time.monotonic() - since)
        return _Loaded(key, worker, environment_of(ready))

    async def _command_for(self, key: _Key) -> tuple[str, ...]:
        command = [*self._command, "--model", str(await self._place(key.base_uri)), "--device", key.device]
        if key.adapter_uri:
            command += ["--adapter", str(await self._place(key.adapter_uri))]
        if key.dtype:
            command += ["--dtype", key.dtype]
        if key.num_threads:
            command += ["--threads", str(key.num_threads)]
        return tuple(command)

    def _take_idle(self, key: _Key) -> _Loaded | None:
        for loaded in self._idle:
            if loaded.serves(key) and loaded.worker.is_alive:
                return self._leave_idle(loaded)
        return None

    def _leave_idle(self, loaded: _Loaded) -> _Loaded:
        self._idle.remove(loaded)
        if loaded.expiry is not None:
            loaded.expiry.cancel()
        return loaded

    async def _keep(self, loaded: _Loaded) -> None:
        loop = asyncio.get_running_loop()
        loaded.expiry = loop.call_later(self._limits.idle_seconds, self._expire, loaded)
        self._idle.append(loaded)

    def _expire(self, loaded: _Loaded) -> None:
        self._idle.remove(loaded)
        ending = asyncio.get_running_loop().create_task(self._end(loaded.worker))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, worker: WorkerProcess) -> None:
        await worker.stop()
        self._running.discard(worker)
        self._telemetry.set_workers(len(self._running))
