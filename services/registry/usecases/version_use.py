"""What uses a version, and so keeps it from being deleted."""

from __future__ import annotations

from services.chassis.jobs import Job, JobState, JobStore

_PAGE_SIZE = 200
_FIELDS = ("model_version_id", "base_model_version_id")


class JobUses:
    """Jobs that have not ended and read a version.

    Args:
        jobs: Where they are kept.
        kinds: Of the jobs, which name what they read in their specs or, once they have found it, in what they save.
    """

    def __init__(self, jobs: JobStore, kinds: tuple[str, ...]) -> None:
        self._jobs = jobs
        self._kinds = kinds

    async def users_of(self, version_id: str) -> list[str]:
        """Return the jobs in words, such as "the export 4f2a…"."""
        users = []
        for (kind, state), num_jobs in (await self._jobs.count()).items():
            if kind in self._kinds and num_jobs and not JobState(state).is_final:
                users += await self._open_jobs(kind, JobState(state), version_id)
        return sorted(users)

    async def _open_jobs(self, kind: str, state: JobState, version_id: str) -> list[str]:
        users, token = [], ""
        while True:
            jobs, token = await self._jobs.list(kind, _PAGE_SIZE, token)
            users += [f"the {kind} {job.job_id}" for job in jobs if job.state is state and _reads(job, version_id)]
            if not token:
                return users


def _reads(job: Job, version_id: str) -> bool:
    words = {**job.spec, **(job.saved or {})}
    return any(words.get(field) == version_id for field in _FIELDS)
