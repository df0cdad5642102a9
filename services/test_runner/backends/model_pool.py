"""Models that stay loaded for a while, each by a process of its own, lent to callers in turn."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from services.chassis.machine.llama_server import LlamaServer
from services.test_runner.backends.fair_queue import FairQueue, QueueLimits
from services.test_runner.backends.worker_process import WorkerProcess, WorkerTimeouts
from services.test_runner.ports.generation import Workload
from services.test_runner.telemetry import TestRunnerTelemetry


@dataclass(frozen=True)
class WorkerLimits:
    """How many workers there are, and how they work.

    0 leaves `max_batch` and `num_threads` to the worker, and means no limit of `memory_bytes`, which is each worker's.
    """

    max_workers: int = 1
    idle_seconds: float = 60.0
    max_batch: int = 0
    num_threads: int = 0
    device: str = "auto"
    memory_bytes: int = 0
    timeouts: WorkerTimeouts = field(default_factory=WorkerTimeouts)
    queue: QueueLimits = field(default_factory=QueueLimits)


P = TypeVar("P", bound=WorkerProcess | LlamaServer)


@dataclass
class LoadedModel(ABC, Generic[P]):
    """A process that has a model loaded."""

    process: P
    expiry: asyncio.TimerHandle | None = field(default=None, kw_only=True)

    @property
    @abstractmethod
    def is_free(self) -> bool:
        """Whether it can take work."""

    @abstractmethod
    def serves(self, workload: Workload) -> bool:
        """Whether it lives, and is what would be started for `workload`."""


L = TypeVar("L", bound=LoadedModel[Any])


class ModelPool(ABC, Generic[P, L]):
    """Keeps at most `max_workers` models loaded.

    One without work is ended after `idle_seconds`, or as soon as another model needs its place.
    """

    def __init__(self, limits: WorkerLimits, telemetry: TestRunnerTelemetry) -> None:
        self._limits, self._telemetry = limits, telemetry
        self._queue = FairQueue(limits.max_workers, limits.queue)
        self._idle: list[L] = []
        self._running: set[P] = set()
        self._endings: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def _start(self, workload: Workload) -> L:
        """Start a process, and wait within `_started` until it has loaded what the workload names."""

    async def close(self) -> None:
        """End all processes."""
        while self._idle:
            self._leave_idle(self._idle[0])
        for process in list(self._running):
            await self._end(process)
        await asyncio.gather(*self._endings)

    @asynccontextmanager
    async def _lent(self, workload: Workload) -> AsyncIterator[L]:
        num_bytes = sum(prompt.size_bytes for prompt in workload.prompts)
        caller = workload.test_run_id or workload.caller
        async with self._queue.place(caller, num_bytes, is_bounded=not workload.test_run_id):
            loaded = await self._load(workload)
            try:
                yield loaded
            finally:
                # A worker that would not stop when its stream was left is still busy with it.
                if loaded.is_free:
                    loop = asyncio.get_running_loop()
                    loaded.expiry = loop.call_later(self._limits.idle_seconds, self._expire, loaded)
                    self._idle.append(loaded)
                else:
                    await self._end(loaded.process)

    async def _load(self, workload: Workload) -> L:
        for loaded in self._idle:
            if loaded.serves(workload):
                return self._leave_idle(loaded)
        while self._idle and len(self._running) >= self._limits.max_workers:
            await self._end(self._leave_idle(self._idle[0]).process)
        since = time.monotonic()
        loaded = await self._start(workload)
        self._telemetry.worker_ready(time.monotonic() - since)
        return loaded

    @asynccontextmanager
    async def _started(self, process: P) -> AsyncIterator[None]:
        """End the process again if the block, in which it loads, fails."""
        self._running.add(process)
        self._telemetry.set_workers(len(self._running))
        try:
            yield
        except BaseException:
            await self._end(process)
            raise

    def _leave_idle(self, loaded: L) -> L:
        self._idle.remove(loaded)
        if loaded.expiry is not None:
            loaded.expiry.cancel()
        return loaded

    def _expire(self, loaded: L) -> None:
        self._idle.remove(loaded)
        ending = asyncio.get_running_loop().create_task(self._end(loaded.process))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, process: P) -> None:
        await process.stop()
        self._running.discard(process)
        self._telemetry.set_workers(len(self._running))
