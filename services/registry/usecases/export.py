"""Use cases of exports."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.chassis.errors import Unimplemented
from services.chassis.jobs import JobResource, JobStore, each
from services.chassis.wire.documents import to_document
from services.registry.domain.export import EXPORT_KIND, EXPORTED, Export, ExportForm, ExportSpec, export_of, resolved
from services.registry.domain.identifiers import VersionRef, check_model_id, check_request_id, version_ref
from services.registry.domain.model import ModelVersion, ModelVersionKind, check_one_kind
from services.registry.ports import FormWriter
from services.registry.ports.stores import ModelStore


class ExportUseCases:
    """Starts exports; `resource` does what every kind of job lets callers do.

    Args:
        jobs: Where they are kept.
        models: Where the versions are.
        writers: What can be written.
        check_profile: Raises InvalidArgument for a protocol that there is not.
    """

    def __init__(
        self,
        jobs: JobStore,
        models: ModelStore,
        writers: Mapping[ExportForm, FormWriter],
        check_profile: Callable[[str], None],
    ) -> None:
        self.resource = JobResource(jobs, EXPORT_KIND, "export", each(export_of))
        self._models = models
        self._writers = writers
        self._check_profile = check_profile

    async def create(self, request_id: str, spec: ExportSpec) -> Export:
        """Store an export and return it at once.

        Raises:
            NotFound: There is no such version.
            InvalidArgument: The version has no such form, or a field is wrong.
            Unimplemented: This installation cannot write the form.
            AlreadyExists: The name is that of a model of another kind, or the request_id was used with other words.
        """
        check_request_id(request_id)
        version = await self._models.named(spec.model_version_id)
        whole = resolved(spec, version)
        check_model_id(whole.model_id)
        self._check_profile(whole.profile_id)
        if whole.form not in self._writers:
            raise Unimplemented(f"The form {whole.form.value} cannot be written here.", "Choose another form.")
        self._writers[whole.form].check(whole, await self._weights_of(version))
        check_one_kind(
            await self._models.get_version(VersionRef(whole.model_id, None)), whole.model_id, whole.form.kind
        )
        return await self.resource.add(request_id, to_document(whole))

    async def profile_of(self, version: ModelVersion) -> str:
        """Return the protocol for which a version was exported; empty where none is known."""
        if not version.produced_by.startswith(EXPORTED):
            return ""
        export = await self.resource.known(version.produced_by.removeprefix(EXPORTED))
        return export.spec.profile_id if export else ""

    async def _weights_of(self, version: ModelVersion) -> ModelVersion:
        """Return the version with the full weights: the base of an adapter, else the version itself."""
        if version.kind is not ModelVersionKind.ADAPTER:
            return version
        return await self._models.get_version(version_ref(version.base_model_version_id)) or version
