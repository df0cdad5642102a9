"""The job that fetches, checks, converts and registers a model.

A repeat begins anew, but for what it fetched: that lies in a folder of the import's own until the import has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from services.chassis.artifacts import Artifact
from services.chassis.errors import DatabaseAway, DatabaseFull, FailedPrecondition, LeaseOver, NotFound
from services.chassis.jobs import JobContext, Json
from services.chassis.machine.files import link_or_copy
from services.chassis.waiting import patiently
from services.registry.domain.identifiers import VersionRef
from services.registry.domain.model import (
    ModelFacts,
    ModelVersion,
    ModelVersionDraft,
    ModelVersionKind,
    check_one_kind,
    inherited,
)
from services.registry.domain.model_import import (
    BASE_VERSION,
    FetchedModel,
    Import,
    ImportPhase,
    ImportSource,
    InspectedSource,
    KnownSource,
    ModelForm,
    SourceKind,
    import_of,
)
from services.registry.importers.workspace import Workspace
from services.registry.jobs.adapter_base import AdapterBases
from services.registry.jobs.phases import keep_notes, phase_told
from services.registry.ports import FetchPlace, Importer, ModelFiles, ModelSource
from services.registry.ports.stores import ModelStore
from services.registry.usecases.adoption import Adoption

_STORE = "the artifact store"


@dataclass(frozen=True)
class ImportJob:
    """Does imports. What is registered is complete; what fails or is cancelled leaves nothing behind."""

    sources: Mapping[SourceKind, ModelSource]
    importers: Mapping[ModelForm, Importer]
    models: ModelStore
    adoption: Adoption
    files: ModelFiles
    workspace: Workspace
    bases: AdapterBases

    async def run(self, context: JobContext) -> Json:
        """Import and return the version's id.

        Raises:
            InvalidArgument: The source can't be imported.
            ResourceExhausted: There is no room for it, or its files needed more than they may.
            FailedPrecondition: The source changed meanwhile.
        """
        try:
            version = await self._imported(context, import_of(context.job))
        except (DatabaseAway, DatabaseFull, LeaseOver):
            raise
        except asyncio.CancelledError:
            if context.cancel_requested:
                await self.clean_up(context)
            raise
        except Exception:
            await self.clean_up(context)
            raise
        await self.clean_up(context)
        return {"model_version_id": version.version_id}

    async def clean_up(self, context: JobContext) -> Json:
        """Remove what an import that has ended fetched."""
        await asyncio.to_thread(self.workspace.forget, context.job.job_id)
        return {}

    async def _imported(self, context: JobContext, model_import: Import) -> ModelVersion:
        try:
            is_adapter = bool(model_import.base_model_version_id)
            fetched = await self._fetched(context, model_import.source, is_known=is_adapter)
        except KnownSource as source_known:
            version = await self._again(context, source_known.version, source_known.origin)
            if version:
                return version
            fetched = await self._fetched(context, model_import.source, is_known=True)
        form = form_of(fetched.path)
        importer = self.importers[form]
        async with phase_told(context, ImportPhase.CHECK, "Checking the source."):
            source = await importer.inspect(fetched.path)
            licence = source.licence or fetched.licence
            source = replace(source, side_files=fetched.side_files, licence=licence)
            base = await self.bases.base_of(source, model_import.base_model_version_id, form)
            if base.version:
                await context.checkpoint({**(context.saved or {}), BASE_VERSION: base.version.version_id})
            await keep_notes(context, tuple(dict.fromkeys((*fetched.notes, *source.notes, *base.notes))))
            self.workspace.check_space(0, source.written_bytes)
        async with phase_told(context, ImportPhase.HASH, "Reading the source.") as progress:
            origin = await importer.identify(source, progress)
            origin = replace(origin, uri=fetched.uri or origin.uri, digest=fetched.digest or origin.digest)
        known = None if base.version else await self.models.find_imported(origin.digest)
        version = known and await self._again(context, known, origin)
        return version or await self._new(context, importer, source, origin=origin, known=known, base=base.version)

    async def _fetched(self, context: JobContext, source: ImportSource, *, is_known: bool = False) -> FetchedModel:
        async def check_new(uri: str) -> None:
            version = None if is_known else await self.models.find_source(uri)
            if version and version.source:
                raise KnownSource(version, version.source)

        async with phase_told(context, ImportPhase.FETCH, "Fetching the files.") as progress:
            folder = self.workspace.fetched(context.job.job_id)
            place = FetchPlace(folder, progress, self.workspace.check_space, self.workspace.shared, check_new)
            return await self.sources[source.kind].fetch(source, place)

    async def _again(self, context: JobContext, known: ModelVersion, origin: Artifact) -> ModelVersion | None:
        """Return the version of a source that was imported before; None when its bytes are not sound any more."""
        draft = _draft(import_of(context.job), origin, known.artifact, known.facts, base=None)

        async def verified() -> ModelVersion:
            async with self.adoption.held(known.artifact):
                return await self._registered(draft, known)

        try:
            async with phase_told(context, ImportPhase.VERIFY, "Verifying what is stored."):
                return await patiently(verified, _STORE)
        except (FailedPrecondition, NotFound) as error:
            text = f"The stored weights of {known.version_id} are damaged and are replaced: {error.problem}"
            await context.event("message", {"text": text})
            return None

    async def _new(
        self,
        context: JobContext,
        importer: Importer,
        source: InspectedSource,
        *,
        origin: Artifact,
        known: ModelVersion | None,
        base: ModelVersion | None,
    ) -> ModelVersion:
        kind = ModelVersionKind.ADAPTER if base else ModelVersionKind.BASE
        await self._check_name(import_of(context.job).model_id, kind)
        with self.workspace.folder(context.job.job_id) as folder:
            out = folder / "model"
            async with phase_told(context, ImportPhase.CONVERT, "Writing the weights.") as progress:
                await importer.write(source, out, progress)
                for file in source.side_files:
                    await asyncio.to_thread(link_or_copy, file, out / file.name)
                if base:
                    await self.bases.check_fit(base, out)
            async with phase_told(context, ImportPhase.STORE, "Storing the weights."):
                facts = replace(await self.files.facts_of(out, kind), licence=source.licence)
                facts = inherited(facts, base)

                async def stored() -> ModelVersion:
                    async with self.adoption.written(out) as artifact:
                        draft = _draft(import_of(context.job), origin, artifact, facts, base=base)
                        return await self._registered(draft, known)

                return await patiently(stored, _STORE)

    async def _registered(self, draft: ModelVersionDraft, known: ModelVersion | None) -> ModelVersion:
        if known and (known.model_id, known.artifact.digest) == (draft.model_id, draft.artifact.digest):
            return known
        await self._check_name(draft.model_id, draft.kind)
        return await self.models.add_version(draft)

    async def _check_name(self, model_id: str, kind: ModelVersionKind) -> None:
        check_one_kind(await self.models.get_version(VersionRef(model_id, None)), model_id, kind)


def form_of(path: Path) -> ModelForm:
    """Return what the files at `path` are; a folder that holds GGUF files alone was named by its first one."""
    if path.is_file():
        return ModelForm.GGUF
    has_weights = (path / "config.json").exists() and any(path.glob("model*.safetensors"))
    return ModelForm.ADAPTER if (path / "adapter_config.json").exists() and not has_weights else ModelForm.FOLDER


def _draft(
    model_import: Import, origin: Artifact, artifact: Artifact, facts: ModelFacts, *, base: ModelVersion | None
) -> ModelVersionDraft:
    return ModelVersionDraft(
        request_id=f"import:{model_import.job.job_id}",
        model_id=model_import.model_id,
        kind=ModelVersionKind.ADAPTER if base else ModelVersionKind.BASE,
        base_model_version_id=base.version_id if base else "",
        artifact=artifact,
        source=origin,
        produced_by=f"import:{model_import.job.job_id}",
        facts=facts,
    )
