"""Use cases of imports."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.jobs import JobResource, JobStore, each
from services.registry.domain.identifiers import VersionRef, check_model_id, check_numbered, check_request_id
from services.registry.domain.model import ModelVersionKind, check_one_kind
from services.registry.domain.model_import import (
    IMPORT_KIND,
    Import,
    ImportSource,
    SourceKind,
    import_of,
    import_spec,
)
from services.registry.ports import ModelSource
from services.registry.ports.stores import ModelStore


class ImportUseCases:
    """Starts imports; `resource` does what every kind of job lets callers do."""

    def __init__(self, jobs: JobStore, sources: Mapping[SourceKind, ModelSource], models: ModelStore) -> None:
        self.resource = JobResource(jobs, IMPORT_KIND, "import", each(import_of))
        self._sources = sources
        self._models = models

    async def create(
        self, request_id: str, model_id: str, source: ImportSource, base_model_version_id: str = ""
    ) -> Import:
        """Store an import and return it at once.

        Raises:
            InvalidArgument: The model id, the source or the base is wrong.
            PermissionDenied: The source may not be asked, or may not see the secret.
            FailedPrecondition: The secret is not there.
            AlreadyExists: The name is that of a model of another kind, or the request_id was used with other words.
        """
        check_request_id(request_id)
        check_model_id(model_id)
        if base_model_version_id:
            check_numbered(base_model_version_id, "base_model_version_id")
        self._sources[source.kind].check(source)
        await self._check_name(model_id, is_adapter=bool(base_model_version_id))
        spec = import_spec(model_id, source, base_model_version_id)
        return await self.resource.add(request_id, spec)

    async def _check_name(self, model_id: str, *, is_adapter: bool) -> None:
        """Raise AlreadyExists for the name of another kind; without a base the files tell whether it is an adapter."""
        newest = await self._models.get_version(VersionRef(model_id, None))
        may_be_adapter = is_adapter or (newest is not None and newest.kind is ModelVersionKind.ADAPTER)
        check_one_kind(newest, model_id, ModelVersionKind.ADAPTER if may_be_adapter else ModelVersionKind.BASE)
