"""Use cases of imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.chassis.jobs import Job, JobResource, JobStore
from services.registry.domain.identifiers import check_model_id, check_request_id
from services.registry.domain.model_import import (
    IMPORT_KIND,
    Import,
    ImportSource,
    SourceKind,
    import_of,
    import_spec,
    not_built,
)
from services.registry.ports import Importer


class ImportUseCases:
    """Starts imports; `resource` does what every kind of job lets callers do."""

    def __init__(self, jobs: JobStore, importers: Mapping[SourceKind, Importer]) -> None:
        self.resource = JobResource(jobs, IMPORT_KIND, "import", _load)
        self._jobs = jobs
        self._importers = importers

    async def create(self, request_id: str, model_id: str, source: ImportSource) -> Import:
        """Store an import and return it at once.

        Raises:
            Unimplemented: This version can't import from such a source.
            InvalidArgument: The model id or the source is wrong.
            AlreadyExists: The request_id was used with other words.
        """
        check_request_id(request_id)
        check_model_id(model_id)
        if source.kind not in self._importers:
            raise not_built(source.kind)
        self._importers[source.kind].locate(source.value)
        return import_of(await self._jobs.create(IMPORT_KIND, request_id, import_spec(model_id, source)))


async def _load(jobs: Sequence[Job]) -> list[Import]:
    return [import_of(job) for job in jobs]
