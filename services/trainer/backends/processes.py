"""The processes of training: what they inherit, and how they are found and ended, however they were orphaned."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping

import psutil

from services.chassis.errors import Unavailable
from services.chassis.machine.parent import child_environment

TOKEN = "DRILLYARD_TRAINING"
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.1


def environment_of(token: str, *, num_threads: int, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a training process, which all its children inherit.

    Args:
        token: By this a process and those that it starts are known.
        num_threads: CPU threads of each worker.
        more: What else it is told, by name.
    """
    return {
        **child_environment(),
        TOKEN: token,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(num_threads),
        # Threads that wait by spinning take the time of every other process: fourfold on a busy machine (measured).
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
        # Everything is on this machine; a hub is never asked.
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_METRICS_ENABLED": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        # Under `uv run` Ray would build its workers' environment anew, from a project that need not be this one's.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        **more,
    }


def end_processes(token: str) -> int:
    """Kill every process with a token in its environment, wait until all are gone, and say how many there were.

    Raises:
        Unavailable: Some would not go, such as one that waits for a disk.
    """
    ended: set[psutil.Process] = set()
    deadline = time.monotonic() + _END_SECONDS
    # A process may have started another between the look and the kill; one that is killed may take a while to go.
    while processes := [process for process in psutil.process_iter() if _has(process, token)]:
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in processes)
            raise Unavailable(
                f"Training processes cannot be ended: {pids}.", "Look at what they wait for, such as a disk."
            )
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        ended.update(processes)
        time.sleep(_LOOK_SECONDS)
    return len(ended)


def _has(process: psutil.Process, token: str) -> bool:
    # Refused are those of other users, of the kernel, and those that have just ended.
    with contextlib.suppress(psutil.Error, OSError):
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TOKEN) == token
    return False
