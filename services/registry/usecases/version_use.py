"""What uses a version, and so keeps it from being deleted."""

from __future__ import annotations

from services.chassis.jobs import JobState, JobStore

_PAGE_SIZE = 200


class JobUses:
    """Jobs that have not ended and read a version.

    Args:
        jobs: Where they are kept.
        kinds: Of the jobs, whose specs have a `model_version_id`.
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
            uses = (job for job in jobs if job.state is state and job.spec.get("model_version_id") == version_id)
            users += [f"the {kind} {job.job_id}" for job in uses]
            if not token:
                return users
