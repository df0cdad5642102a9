"""Use cases of imports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from services.chassis.errors import NotFound
from services.chassis.jobs import JobEvent, JobStore, watch
from services.registry.domain.identifiers import check_model_id, check_request_id, plain_id
from services.registry.domain.model_import import (
    IMPORT_KIND,
    Import,
    ImportSource,
    SourceKind,
    import_not_found,
    import_of,
    import_spec,
    not_built,
)
from services.registry.domain.paging import Page, PageRequest
from services.registry.ports import Importer


class ImportUseCases:
    """Starts, reads and cancels imports."""

    def __init__(self, jobs: JobStore, importers: Mapping[SourceKind, Importer]) -> None:
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

    async def get(self, import_id: str) -> Import:
        """Return one import.

        Raises:
            NotFound: There is none.
        """
        try:
            job = await self._jobs.get(plain_id(import_id))
        except NotFound as error:
            raise import_not_found(import_id) from error
        if job.kind != IMPORT_KIND:
            raise import_not_found(import_id)
        return import_of(job)

    async def list(self, page: PageRequest) -> Page[Import]:
        """Return imports, newest first."""
        jobs, token = await self._jobs.list(IMPORT_KIND, page.size, page.token)
        return Page(tuple(import_of(job) for job in jobs), token)

    async def cancel(self, import_id: str) -> Import:
        """Ask for an end of the import and return it as it stands.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It has ended otherwise.
        """
        await self.get(import_id)
        return import_of(await self._jobs.request_cancel(import_id))

    async def watch(self, import_id: str, after_sequence: int) -> AsyncIterator[JobEvent]:
        """Yield events above `after_sequence`; end after the final one.

        Raises:
            NotFound: There is no such import.
        """
        await self.get(import_id)
        async for event in watch(self._jobs, import_id, after_sequence):
            yield event
