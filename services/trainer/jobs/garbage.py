"""What of the trainer's files and artifacts may go once jobs have ended for some days, or are deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

from services.chassis.jobs import Job, JobStore
from services.chassis.machine.files import remove_tree, size_below
from services.chassis.machine.garbage import Garbage, days_ago
from services.trainer.domain.attempt import best_step
from services.trainer.domain.spec import KIND
from services.trainer.jobs.adapters import Adapters
from services.trainer.jobs.kept_checkpoints import kept_checkpoints, scores_of
from services.trainer.manifest import MANIFEST, QUARANTINED, places

_PAGE_SIZE = 500
_DAY = 24 * 3600.0
# A folder is made after its job's row; so long afterwards the row can only have been deleted.
_ORPHAN_DAYS = 1.0


class TrainingGarbage:
    """Folders on this machine's disk, and artifacts, by what the jobs' rows say of them.

    Args:
        to: What jobs reach the world by.
        jobs: The service's jobs.
        attempts: Has a folder of attempts for each job.
        checkpoints: Has a folder of checkpoints for each job.
        checkpoint_days: After so long only the last and the best checkpoint of an ended job stay.
        attempt_days: After so long the files of its attempts go.
    """

    def __init__(
        self,
        to: Adapters,
        jobs: JobStore,
        attempts: Path,
        checkpoints: Path,
        *,
        checkpoint_days: float,
        attempt_days: float,
    ) -> None:
        self._to = to
        self._jobs = jobs
        self._attempts = attempts
        self._checkpoints = checkpoints
        self._checkpoint_days = checkpoint_days
        self._attempt_days = attempt_days

    async def attempts(self) -> AsyncIterator[Garbage]:
        """Yield the attempts' folders of jobs that ended long ago or are gone."""
        jobs = await self._all_jobs()
        for place in await asyncio.to_thread(_folders, self._attempts):
            job = jobs.get(place.name)
            if job is None and _is_old(place, _ORPHAN_DAYS):
                reason = "its job is deleted"
            elif job is not None and _has_ended(job, self._attempt_days):
                reason = f"its job ended {self._attempt_days:g} days ago"
            else:
                continue
            remove = partial(self._to.backend.remove, place.name)
            yield Garbage("attempt", place.name, await _size(place), reason, remove)

    async def checkpoints(self) -> AsyncIterator[Garbage]:
        """Yield checkpoints of jobs that are gone, those set aside, and those neither last nor best of an ended job."""
        jobs = await self._all_jobs()
        for place in await asyncio.to_thread(_folders, self._checkpoints):
            job = jobs.get(place.name)
            if job is None:
                if _is_old(place, _ORPHAN_DAYS):
                    remove = partial(self._to.checkpoints.remove, place.name)
                    yield Garbage("checkpoint", place.name, await _size(place), "its job is deleted", remove)
                continue
            for folder in await asyncio.to_thread(sorted, place.glob(f"*{QUARANTINED}")):
                if _is_old(folder, self._checkpoint_days):
                    remove = partial(asyncio.to_thread, remove_tree, folder)
                    reason = f"damaged, and set aside {self._checkpoint_days:g} days ago"
                    yield Garbage("checkpoint", f"{place.name}/{folder.name}", await _size(folder), reason, remove)
            if _has_ended(job, self._checkpoint_days) and (garbage := await self._needless(job, place)):
                yield garbage

    async def held(self) -> set[str] | None:
        """Return the URIs of artifacts that jobs need; None where a job cannot be read."""
        jobs = await self._all_jobs()
        forks = [job_id for job_id, job in jobs.items() if not job.is_final and job.spec.get("fork")]
        uris = {item.fork.uri for item in (await self._to.store.get_inputs(forks)).values() if item.fork}
        for job in jobs.values():
            if job.is_final and job.end_time is None:
                return None
            kept = sorted(kept_checkpoints(job.saved), reverse=True)
            if len(kept) > 1 and _has_ended(job, self._checkpoint_days):
                best = best_step(await scores_of(self._to.store, job.job_id))
                kept = [kept[0], *(item for item in kept[1:] if item.step == best)]
            uris |= {item.uri for item in kept}
        return uris

    async def _needless(self, job: Job, place: Path) -> Garbage | None:
        listed = await self._to.store.list_checkpoints(job.job_id)
        here = await asyncio.to_thread(places, place)
        whole = [item.step for item in here if (item.path / MANIFEST).exists()]
        best = best_step(await scores_of(self._to.store, job.job_id))
        steps = {best, *whole[:1], *(item.step for item in listed[:1])}
        folders = [item.path for item in here if item.step not in steps]
        if not folders:
            return None

        async def remove() -> None:
            gone = [item.step for item in listed if item.step not in steps]
            await self._to.store.delete_checkpoints(job.job_id, gone)
            await asyncio.to_thread(_remove, folders)

        reason = f"its job ended {self._checkpoint_days:g} days ago, and it is neither the last nor the best"
        return Garbage("checkpoint", job.job_id, await _size(*folders), reason, remove)

    async def _all_jobs(self) -> dict[str, Job]:
        jobs, token = await self._jobs.list(KIND, _PAGE_SIZE, "")
        while token:
            page, token = await self._jobs.list(KIND, _PAGE_SIZE, token)
            jobs = [*jobs, *page]
        return {job.job_id: job for job in jobs}


async def _size(*folders: Path) -> int:
    return await asyncio.to_thread(lambda: sum(map(size_below, folders)))


def _remove(folders: Sequence[Path]) -> None:
    for folder in folders:
        # Without its manifest a folder that is half removed is no checkpoint.
        remove_tree(folder / MANIFEST)
        remove_tree(folder)


def _folders(parent: Path) -> list[Path]:
    return [place for place in sorted(parent.iterdir()) if place.is_dir()] if parent.is_dir() else []


def _is_old(place: Path, days: float) -> bool:
    return time.time() - place.stat().st_ctime > days * _DAY


def _has_ended(job: Job, days: float) -> bool:
    return job.is_final and job.end_time is not None and job.end_time < days_ago(days)
