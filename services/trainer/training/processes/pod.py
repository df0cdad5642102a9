"""`python -m services.trainer.training.processes.pod PLAN`: one attempt in a pod of a cluster, and the pod's end.

In a RayJob this is the driver on the head, and the workers are in pods of their own. In a Job it starts Ray itself.
"""

from __future__ import annotations

import argparse
import base64
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from services.trainer.backends.kubernetes_objects import SCRATCH
from services.trainer.domain.plan import AttemptPlan

_STOP: Final = "stop"
_LOOK_SECONDS: Final = 0.2


def main() -> None:
    """Do the plan, or ask the processes of this pod to save and end, and wait for that."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    parser.add_argument("plan", nargs="?", help="an attempt's plan as JSON, in base 64")
    parser.add_argument("--stop", action="store_true", help="save and end what this pod does")
    arguments = parser.parse_args()
    if arguments.stop:
        stop(Path(SCRATCH))
        return
    plan = AttemptPlan.from_json(base64.urlsafe_b64decode(arguments.plan).decode())
    with at_work(Path(plan.scratch_folder)):
        from services.trainer.training.processes.cluster import run_in_pod

        run_in_pod(plan)


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


def stop(folder: Path) -> None:
    """Ask the processes that are at work in this pod to save and end, and return when they have."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _STOP).touch()
    while any(_is_alive(int(mark.stem)) for mark in folder.glob("*.pid")):
        time.sleep(_LOOK_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    main()
