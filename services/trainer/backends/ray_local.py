"""Training on this machine, by processes that are kept for a while after an attempt: the next starts at once."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from services.chassis.machine.files import remove_tree, write_atomically
from services.chassis.status import full_disk_told
from services.trainer.backends.process_group import SOCKET, ProcessGroup, end_leftovers
from services.trainer.backends.processes import environment_of
from services.trainer.domain.plan import AttemptPlan

# The path of a Unix socket ends at 107 bytes.
_MAX_PARENT_LENGTH = 80
_START_SECONDS = 60.0
_SCRATCH = "dy-"
_LINK = "scratch"
_JOB = "job"
PLAN = "plan.json"
LOG = "driver.log"


@dataclass(frozen=True)
class Launch:
    """How processes are started; those of equal launches can do each other's plans."""

    num_processes: int
    num_threads: int
    options: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]


class RayLocalBackend:
    """Hands plans to processes of this machine, and ends them with everything that they started.

    Processes that did their plan to its end wait for another that is launched alike. All others are ended with their
    plan: one that failed is no ground to begin on, and a job that is paused shall hold no memory.
    """

    fetches_artifacts = False

    def __init__(
        self,
        attempts_folder: Path,
        token_file: Path | None = None,
        *,
        max_memory_bytes: int = 0,
        warm_seconds: float = 0.0,
    ) -> None:
        """Attempts report with the token in `token_file`, if there is one; no limit of memory is 0."""
        self._attempts_folder = attempts_folder.resolve()
        self._token_file = str(token_file.resolve()) if token_file else ""
        self._max_memory_bytes = max_memory_bytes
        self._warm_seconds = warm_seconds
        self._running: dict[str, ProcessGroup] = {}
        self._warm: dict[ProcessGroup, tuple[Launch, asyncio.Task[None]]] = {}

    def launch_of(self, plan: AttemptPlan) -> Launch:
        """Return how processes for a plan are started."""
        num_workers = plan.spec.num_workers
        return Launch(
            num_processes=num_workers,
            num_threads=max(1, plan.num_threads // num_workers),
            options=(),
            # Workers of one machine talk to each other alone.
            environment=(("GLOO_SOCKET_IFNAME", "lo"), ("NCCL_SOCKET_IFNAME", "lo")),
        )

    def wait_reason(self, training_job_id: str) -> str:
        """Say that processes begin at once."""
        return ""

    async def prepare(self, plan: AttemptPlan) -> AttemptPlan:
        """Write the files that an attempt begins with, and return its plan with the places of them.

        Raises:
            ResourceExhausted: The disk has no room for them now; nothing of them stays.
        """
        with full_disk_told():
            return await asyncio.to_thread(self._prepared, plan)

    def _prepared(self, plan: AttemptPlan) -> AttemptPlan:
        _remove_abandoned(self._attempts_folder)
        folder = self._folder(plan)
        folder.mkdir(parents=True, exist_ok=True)
        plan = replace(plan, token_file=self._token_file)
        write_atomically(folder / PLAN, plan.to_json())
        write_atomically(folder / LOG, "")
        return replace(plan, scratch_folder=str(_make_scratch_folder(folder)))

    def _folder(self, plan: AttemptPlan) -> Path:
        return self._attempts_folder / plan.training_job_id / f"attempt-{plan.attempt:03d}"

    async def run(self, plan: AttemptPlan) -> int:
        """Let processes do a prepared plan; return 0 at its end, or an exit code of theirs (negative: the signal).

        Cancelled, it ends them all first.

        Raises:
            ResourceExhausted: The processes took more memory than they may, and were ended.
        """
        launch = self.launch_of(plan)
        group = await self._warm_group(launch) or ProcessGroup(
            Path(plan.scratch_folder), self._folder(plan) / LOG, launch.num_processes
        )
        self._running[plan.training_job_id] = group
        try:
            await asyncio.to_thread(_assign, group, plan.training_job_id, self._folder(plan))
            if not group.is_ready:
                more = dict(launch.environment)
                environment = environment_of(group.folder.name, num_threads=launch.num_threads, more=more)
                await group.start(launch.options, environment)
            return await group.do(plan, self._max_memory_bytes)
        finally:
            del self._running[plan.training_job_id]
            if group.is_ready and self._warm_seconds:
                self._warm[group] = launch, asyncio.create_task(self._expire(group))
            else:
                await asyncio.shield(group.end())

    async def _warm_group(self, launch: Launch) -> ProcessGroup | None:
        """Take processes from those that wait; end those that cannot be used, since memory is for work."""
        for group, (launch_of_group, expiry) in list(self._warm.items()):
            del self._warm[group]
            expiry.cancel()
            if launch_of_group == launch and group.is_ready:
                return group
            await asyncio.shield(group.end())
        return None

    async def _expire(self, group: ProcessGroup) -> None:
        await asyncio.sleep(self._warm_seconds)
        del self._warm[group]
        await group.end()

    async def clear(self, training_job_id: str) -> int:
        """End every process that an attempt at a job left behind, remove their files, and say how many there were."""
        own = {group.folder for group in (*self._running.values(), *self._warm)}
        return await asyncio.to_thread(_clear, self._attempts_folder / training_job_id, training_job_id, own)

    async def remove(self, training_job_id: str) -> None:
        """Do the same, and remove the files of the job's attempts from this machine."""
        await self.clear(training_job_id)
        await asyncio.to_thread(remove_tree, self._attempts_folder / training_job_id)

    async def close(self) -> None:
        """End the processes that wait for a plan."""
        for group, (_, expiry) in list(self._warm.items()):
            del self._warm[group]
            expiry.cancel()
            await group.end()


def _make_scratch_folder(attempt: Path) -> Path:
    """A folder private to this user, with a path short enough for the sockets in it; the attempt's folder links to it.

    A link is there or not, and never torn, so whatever became of the plan, the folder is found and removed.
    """
    parent = tempfile.gettempdir()
    parent = parent if len(parent) <= _MAX_PARENT_LENGTH else "/tmp"
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent)).resolve()
    try:
        (attempt / _LINK).unlink(missing_ok=True)
        (attempt / _LINK).symlink_to(scratch)
    except OSError:
        scratch.rmdir()
        raise
    return scratch


def _assign(group: ProcessGroup, training_job_id: str, attempt: Path) -> None:
    """Write down which job the processes serve now, and give the attempt their folder and their log."""
    link, log = attempt / _LINK, attempt / LOG
    if _folder_of(link) != group.folder:
        if own := _folder_of(link):
            own.rmdir()
        link.unlink(missing_ok=True)
        link.symlink_to(group.folder)
        # One file with two names stays with each attempt, whichever is removed first.
        with suppress(FileNotFoundError):
            os.link(group.log, link.with_name("log"))
            link.with_name("log").replace(log)
    group.log = log
    write_atomically(group.folder / _JOB, training_job_id)


def _clear(attempts: Path, training_job_id: str, own: set[Path]) -> int:
    num_ended = 0
    for link in attempts.glob(f"*/{_LINK}"):
        folder = _folder_of(link)
        # Processes that wait, or do another job's plan by now, are not this job's.
        if folder is None or folder in own:
            continue
        if folder.name.startswith(_SCRATCH) and _job_of(folder) in ("", training_job_id):
            num_ended += end_leftovers(folder)
        link.unlink(missing_ok=True)
    return num_ended


def _folder_of(link: Path) -> Path | None:
    """Return where a link leads; None when another job's start, or another process, has just removed it."""
    try:
        return link.readlink()
    except FileNotFoundError:
        return None


def _remove_abandoned(attempts_folder: Path) -> None:
    """Remove the folders of processes that waited for a plan as their service was killed; they have ended with it."""
    for link in list(attempts_folder.glob(f"*/*/{_LINK}")):
        folder = _folder_of(link)
        if folder and folder.name.startswith(_SCRATCH) and _is_abandoned(folder / SOCKET):
            end_leftovers(folder)
            link.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    # One that has just come is not heard yet.
    return age > _START_SECONDS and not _is_served(path)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _job_of(folder: Path) -> str:
    try:
        return (folder / _JOB).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
