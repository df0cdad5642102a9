"""Training on this machine: each attempt is a process group of its own, with its own Ray."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from services.chassis.errors import ResourceExhausted
from services.chassis.machine.files import remove_tree, write_atomically
from services.chassis.machine.memory import offer_to_kernel, outgrows
from services.chassis.status import full_disk_told
from services.trainer.backends.processes import end_processes, environment_of
from services.trainer.domain.plan import AttemptPlan

# Ray's sockets lie some 60 characters below its folder, and a Unix socket's path ends at 107.
_MAX_PARENT_LENGTH = 28
_SCRATCH = "dy-"
_LINK = "scratch"
PLAN = "plan.json"
LOG = "driver.log"


class RayLocalBackend:
    """Starts the driver of an attempt and ends it with everything that it started."""

    def __init__(self, attempts_folder: Path, token_file: Path | None = None, *, max_memory_bytes: int = 0) -> None:
        """Attempts report with the token in `token_file`, if there is one; no limit of memory is 0."""
        self._max_memory_bytes = max_memory_bytes
        self._attempts_folder = attempts_folder.resolve()
        self._token_file = str(token_file.resolve()) if token_file else ""

    async def prepare(self, plan: AttemptPlan) -> AttemptPlan:
        """Write the files that an attempt begins with, and return its plan with the places of them.

        Raises:
            ResourceExhausted: The disk has no room for them now; nothing of them stays.
        """
        with full_disk_told():
            return await asyncio.to_thread(self._prepared, plan)

    def _prepared(self, plan: AttemptPlan) -> AttemptPlan:
        folder = self._folder(plan)
        folder.mkdir(parents=True, exist_ok=True)
        plan = replace(plan, scratch_folder=str(_make_scratch_folder(folder)), token_file=self._token_file)
        try:
            write_atomically(folder / PLAN, plan.to_json())
            write_atomically(folder / LOG, "")
        except OSError:
            _remove_scratch_folders(folder.parent)
            raise
        return plan

    def _folder(self, plan: AttemptPlan) -> Path:
        return self._attempts_folder / plan.training_job_id / f"attempt-{plan.attempt:03d}"

    async def run(self, plan: AttemptPlan) -> int:
        """Start the processes of a prepared plan; return the driver's exit code (negative: the signal) at its end.

        Cancelled, it ends them all first.

        Raises:
            ResourceExhausted: The processes took more memory than they may, and were ended.
        """
        try:
            return await _drive(plan, self._folder(plan), self._max_memory_bytes)
        finally:
            await asyncio.shield(self.clear(plan.training_job_id))

    async def clear(self, training_job_id: str) -> int:
        """End every process that an attempt at a job left behind, remove Ray's files, and say how many there were."""
        num_ended = await asyncio.to_thread(end_processes, training_job_id, self._attempts_folder / training_job_id)
        await asyncio.to_thread(_remove_scratch_folders, self._attempts_folder / training_job_id)
        return num_ended

    async def remove(self, training_job_id: str) -> None:
        """Do the same, and remove the files of the job's attempts from this machine."""
        await self.clear(training_job_id)
        await asyncio.to_thread(remove_tree, self._attempts_folder / training_job_id)


def _make_scratch_folder(attempt: Path) -> Path:
    """A folder private to this user, with a path short enough for the sockets in it; the attempt's folder links to it.

    A link is there or not, and never torn, so whatever became of the plan, the folder is found and removed.
    """
    parent = tempfile.gettempdir()
    scratch = tempfile.mkdtemp(prefix=_SCRATCH, dir=parent if len(parent) <= _MAX_PARENT_LENGTH else "/tmp")
    try:
        (attempt / _LINK).unlink(missing_ok=True)
        (attempt / _LINK).symlink_to(scratch)
    except OSError:
        Path(scratch).rmdir()
        raise
    return Path(scratch)


def _remove_scratch_folders(attempts: Path) -> None:
    for link in attempts.glob(f"*/{_LINK}"):
        scratch = link.readlink()
        if scratch.name.startswith(_SCRATCH):
            shutil.rmtree(scratch, ignore_errors=True)
        link.unlink()


async def _drive(plan: AttemptPlan, folder: Path, max_memory_bytes: int) -> int:
    command = [sys.executable, "-m", "services.trainer.training"]
    options = ["--attempt-file", str(folder / PLAN), "--parent-pid", str(os.getpid())]
    with (folder / LOG).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            *options,
            cwd=folder,
            env=environment_of(plan),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    offer_to_kernel(process.pid)
    ending = asyncio.create_task(process.wait())
    outgrowing = asyncio.create_task(outgrows(process.pid, max_memory_bytes, with_children=True))
    try:
        await asyncio.wait({ending, outgrowing}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            return ending.result()
        raise ResourceExhausted(
            f"The training processes took more than {max_memory_bytes >> 20} MiB of memory.",
            "Lower the batch size, shorten the examples, or raise TRAINER_ATTEMPT_MEMORY_BYTES.",
        )
    finally:
        outgrowing.cancel()
        if not ending.done():
            process.kill()
            await ending
