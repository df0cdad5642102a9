"""Imports of feedback items as durable jobs of the chassis: spec and checkpoint of a job are all that an import is."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.artifacts import Artifact
from services.chassis.jobs import Job, JobResource, JobStore
from services.feedback.domain.item_spec import FEEDBACK_IMPORT_KIND, FeedbackImport, import_job_spec, import_of


class ImportStore(JobResource[FeedbackImport]):
    """Keeps imports where the service keeps its jobs."""

    def __init__(self, jobs: JobStore) -> None:
        super().__init__(jobs, FEEDBACK_IMPORT_KIND, "feedback import", _load)

    async def create(self, request_id: str, artifact: Artifact, author: str) -> FeedbackImport:
        """Store an import; the same request id returns the import of the first call.

        Raises:
            AlreadyExists: The request id was used with another file, or by somebody else.
        """
        return import_of(await self._jobs.create(FEEDBACK_IMPORT_KIND, request_id, import_job_spec(artifact, author)))


async def _load(jobs: Sequence[Job]) -> list[FeedbackImport]:
    return [import_of(job) for job in jobs]
