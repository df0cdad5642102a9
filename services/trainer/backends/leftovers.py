"""Finds and ends the processes of attempts, however they were orphaned."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

from services.trainer.backends.environment import TOKEN

_END_SECONDS = 10.0
_LOOK_SECONDS = 0.1


def end_processes(training_job_id: str, folder: Path) -> int:
    """Kill every process that belongs to a job, wait until all are gone, and say how many there were.

    Args:
        training_job_id: The job; its processes carry it in their environment.
        folder: Working folder of its processes, or one above it. Ray's agents overwrite their environment when they
            give themselves a title, and are known by that title and this folder.

    Raises:
        TimeoutError: Some would not go.
    """
    ended: set[psutil.Process] = set()
    deadline = time.monotonic() + _END_SECONDS
    # A process may have started another between the look and the kill; one that is killed may take a while to go.
    while found := [process for process in psutil.process_iter() if _belongs(process, training_job_id, folder)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(found)} training processes cannot be ended")
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        ended.update(found)
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
