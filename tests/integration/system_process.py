"""The services with a made-up model in a process of their own: gRPC bears one event loop in a process well, not two."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.managers import BaseManager, NamespaceProxy
from pathlib import Path
from typing import Any

from services.chassis.settings import favour_event_loop
from tests.fakes.system.background import in_background
from tests.fakes.system.services import System, serve


class LoopMonitor:
    """How long the services' loop is away: the processor time of one callback, which no other process can lengthen."""

    def __init__(self) -> None:
        self._longest = (0.0, "")

    def watch(self) -> None:
        """Measure every callback of this process's loop from now on."""
        run = asyncio.Handle._run

        def measured(handle: asyncio.Handle) -> None:
            start = time.thread_time()
            run(handle)
            seconds = time.thread_time() - start
            if seconds > self._longest[0]:
                self._longest = (seconds, repr(handle)[:300])

        asyncio.Handle._run = measured  # type: ignore[method-assign]

    def begin(self) -> None:
        """Forget what was measured."""
        self._longest = (0.0, "")

    def longest(self) -> tuple[float, str]:
        """Return the seconds of the longest callback since `begin`, and what it was."""
        return self._longest


_running: list[System] = []
_monitor = LoopMonitor()
_ending = ExitStack()


class _Manager(BaseManager):
    """Lends the attributes of what runs in the child."""


def _begin(folder: Path) -> None:
    favour_event_loop()
    _monitor.watch()
    _running.append(_ending.enter_context(in_background(serve(folder))))
    # As a service does once it serves.
    gc.freeze()


def _system() -> System:
    return _running[0]


def _model() -> Any:
    return _running[0].model


def _training() -> Any:
    return _running[0].training


def _loop_monitor() -> LoopMonitor:
    return _monitor


_Manager.register("loop_monitor", callable=_loop_monitor)
_Manager.register("system", callable=_system, proxytype=NamespaceProxy)
_Manager.register("model", callable=_model, proxytype=NamespaceProxy)
_Manager.register("training", callable=_training, proxytype=NamespaceProxy)


@dataclass(frozen=True)
class SystemProcess:
    """The child's `System`, model and training; an attribute that is read is a copy, one that is set is set there."""

    folder: Path
    addresses: dict[str, str]
    metrics_addresses: dict[str, str]
    names: dict[str, str]
    loop: Any
    live_training_job_id: str
    model: Any
    training: Any
    loop_monitor: Any


@contextmanager
def running_system(folder: Path) -> Iterator[SystemProcess]:
    """Start the services in a child, and end it with the block."""
    manager: Any = _Manager(ctx=multiprocessing.get_context("spawn"))
    manager.start(initializer=_begin, initargs=(folder,))
    try:
        system = manager.system()
        fields = ("addresses", "metrics_addresses", "names", "loop", "live_training_job_id")
        facts = {name: getattr(system, name) for name in fields}
        lent = {name: getattr(manager, name)() for name in ("model", "training", "loop_monitor")}
        yield SystemProcess(folder=folder, **lent, **facts)
    finally:
        manager.shutdown()
