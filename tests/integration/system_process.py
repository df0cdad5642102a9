"""The services with a made-up model in a process of their own: gRPC bears one event loop in a process well, not two."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.managers import BaseManager, NamespaceProxy
from pathlib import Path
from typing import Any

from tests.fakes.system.background import in_background
from tests.fakes.system.services import System, serve

_running: list[System] = []
_ending = ExitStack()


class _Manager(BaseManager):
    """Lends the attributes of what runs in the child."""


def _begin(folder: Path) -> None:
    _running.append(_ending.enter_context(in_background(serve(folder))))


def _system() -> System:
    return _running[0]


def _model() -> Any:
    return _running[0].model


def _training() -> Any:
    return _running[0].training


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


@contextmanager
def running_system(folder: Path) -> Iterator[SystemProcess]:
    """Start the services in a child, and end it with the block."""
    manager: Any = _Manager(ctx=multiprocessing.get_context("spawn"))
    manager.start(initializer=_begin, initargs=(folder,))
    try:
        system = manager.system()
        fields = ("addresses", "metrics_addresses", "names", "loop", "live_training_job_id")
        facts = {name: getattr(system, name) for name in fields}
        yield SystemProcess(folder=folder, model=manager.model(), training=manager.training(), **facts)
    finally:
        manager.shutdown()
