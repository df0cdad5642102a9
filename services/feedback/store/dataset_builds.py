"""Dataset builds as durable jobs of the chassis: spec and checkpoint of a job are all that a build is."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.jobs import Job, JobResource, JobStore, Json
from services.chassis.wire import from_document, to_document
from services.feedback.domain.dataset_build import (
    DATASET_BUILD_KIND,
    DatasetBuild,
    DatasetBuildSpec,
    build_job_spec,
    build_of,
)


class BuildStore(JobResource[DatasetBuild]):
    """Keeps builds where the service keeps its jobs."""

    def __init__(self, jobs: JobStore) -> None:
        super().__init__(jobs, DATASET_BUILD_KIND, "dataset build", _load)

    async def create(self, request_id: str, spec: DatasetBuildSpec) -> DatasetBuild:
        """Store a build; the same request id returns the build of the first call.

        Raises:
            AlreadyExists: The request id was used with another spec; the error names the field.
        """
        job = await self._jobs.create(DATASET_BUILD_KIND, request_id, build_job_spec(spec), rewrite=_rewritten)
        return build_of(job)


def _rewritten(spec: Json) -> Json:
    return {"spec": to_document(from_document(DatasetBuildSpec, spec["spec"]))}


async def _load(jobs: Sequence[Job]) -> list[DatasetBuild]:
    return [build_of(job) for job in jobs]
