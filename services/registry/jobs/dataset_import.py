"""The import of a dataset: read a file's rows, and register them."""

from __future__ import annotations

from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.registry.domain.dataset import DatasetImportPhase, DatasetVersionDraft, dataset_import_of
from services.registry.jobs.phases import phase_told
from services.registry.usecases.dataset import DatasetUseCases


class DatasetImportJob:
    """Does jobs of kind "dataset_import"; the version is registered under the job's id, so a killed one makes one."""

    def __init__(self, datasets: DatasetUseCases) -> None:
        self._datasets = datasets

    async def run(self, context: JobContext) -> Json:
        """Read and register.

        Raises:
            InvalidArgument: A row is wrong; the first one is named.
            FailedPrecondition: The file is not there or differs from what is claimed.
        """
        dataset_import = dataset_import_of(context.job)
        draft = DatasetVersionDraft(
            request_id=f"{DatasetImportPhase.READ}/{context.job.job_id}",
            artifact=dataset_import.artifact,
            produced_by="upload",
            dataset_id=dataset_import.dataset_id,
            num_train_examples=0,
            num_validation_examples=0,
        )

        async def report(num_rows: int, num_faults: int) -> None:
            await context.progress(phase=DatasetImportPhase.READ, done=num_rows, unit="rows")
            await context.checkpoint({"num_skipped": num_faults})

        async with phase_told(context, DatasetImportPhase.READ, ""):
            registered = await patiently(
                lambda: self._datasets.create_version(draft, dataset_import.source, report), "the registry"
            )
        return {"dataset_version_id": registered.version.version_id}
