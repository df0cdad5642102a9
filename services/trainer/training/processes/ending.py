"""How the processes of a pod learn that it is taken away, and how the pod waits until they have saved."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

_STOP: Final = "stop"
_LOOK_SECONDS: Final = 0.2


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Say that this process does a part of the attempt, for the length of the block; a killed one does none."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f"{os.getpid()}.pid"
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def is_stopped(folder: Path) -> bool:
    """Whether the pod is being taken away."""
    return (folder / _STOP).exists()


def ask_to_stop(folder: Path) -> None:
    """Ask the processes that are at work in this pod to save and end."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _STOP).touch()


def stop(folder: Path) -> None:
    """Ask the processes that are at work in this pod to save and end, and return when they have."""
    ask_to_stop(folder)
    while any(_is_alive(int(mark.stem)) for mark in folder.glob("*.pid")):
        time.sleep(_LOOK_SECONDS)


def pass_on_stop(folder: Path, has_ended: Callable[[], bool], ask_pods: Callable[[Set[str]], Set[str]]) -> None:
    """Return when the attempt has ended; if the head's pod is taken away before, let the workers save.

    The head computes nothing that could be saved, and what the workers have is lost with it.

    Args:
        folder: Where this pod's mark is.
        has_ended: Tells it after a short wait.
        ask_pods: Asks all pods but those that it is told, and returns which it asked.
    """
    told: Set[str] = set()
    while not has_ended():
        if is_stopped(folder):
            told |= ask_pods(told)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
