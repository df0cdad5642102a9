"""The processes of attempts: what they inherit, and how they are found and ended, however they were orphaned."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from pathlib import Path

import psutil

from services.chassis.errors import Unavailable
from services.chassis.machine.parent import child_environment
from services.trainer.domain.plan import AttemptPlan

TOKEN = "DRILLYARD_ATTEMPT"
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.1


def environment_of(plan: AttemptPlan) -> dict[str, str]:
    """Return the environment of an attempt's driver, which all its children inherit."""
    threads = max(1, plan.num_threads // plan.spec.num_workers)
    return {
        **child_environment(),
        # By this every process of an attempt, Ray's own included, is known.
        TOKEN: f"{plan.training_job_id}/{plan.attempt}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(threads),
        # Threads that wait by spinning take the time of every other process: fourfold on a busy machine (measured).
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
        # Everything is on this machine; a hub is never asked.
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        # A token of its own for each attempt; Ray would else write one to a home folder that may be read-only.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # The name says another system, the effect is the same here: Ray lives on the loopback interface alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "RAY_TRAIN_METRICS_ENABLED": "0",
        # Under `uv run` Ray would build its workers' environment anew, from a project that need not be this one's.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # The attempt is the work of this machine; Ray's default of 15 leaves it the time that nothing else wants.
        "RAY_worker_niceness": "0",
        # How soon Ray Train notices that the workers have ended, in seconds.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    }


def end_processes(training_job_id: str, folder: Path) -> int:
    """Kill every process that belongs to a job, wait until all are gone, and say how many there were.

    Args:
        training_job_id: The job; its processes carry it in their environment.
        folder: Working folder of its processes, or one above it. Ray's agents overwrite their environment when they
            give themselves a title, and are known by that title and this folder.

    Raises:
        Unavailable: Some would not go, such as one that waits for a disk.
    """
    ended: set[psutil.Process] = set()
    deadline = time.monotonic() + _END_SECONDS
    # A process may have started another between the look and the kill; one that is killed may take a while to go.
    while processes := [process for process in psutil.process_iter() if _belongs(process, training_job_id, folder)]:
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


def _belongs(process: psutil.Process, training_job_id: str, folder: Path) -> bool:
    # Refused are those of other users, of the kernel, and those that have just ended.
    with contextlib.suppress(psutil.Error, OSError):
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(TOKEN, "").startswith(f"{training_job_id}/"):
            return True
        titles = process.cmdline()
        return bool(titles) and titles[0].startswith("ray::") and Path(process.cwd()).is_relative_to(folder)
    return False
