"""The job that writes one form of a version and registers it. Its unit of work is the whole: a repeat begins anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.chassis.wire.names import shown
from services.lm.conversion.card import forbids_derivatives
from services.registry.domain.export import (
    EXPORTED,
    ExportForm,
    ExportPhase,
    ExportSource,
    ExportSpec,
    export_of,
    recipe_of,
)
from services.registry.domain.model import (
    ModelFacts,
    ModelVersion,
    ModelVersionDraft,
    ModelVersionKind,
    inherited,
)
from services.registry.importers.workspace import Workspace
from services.registry.jobs.phases import keep_notes, phase_told
from services.registry.ports import FormWriter, ModelFiles
from services.registry.ports.stores import ModelStore
from services.registry.usecases.adoption import Adoption

_STORE = "the artifact store"


@dataclass(frozen=True)
class ExportJob:
    """Does exports. What is registered is complete; what fails or is cancelled leaves nothing behind."""

    writers: Mapping[ExportForm, FormWriter]
    models: ModelStore
    artifacts: ArtifactStore
    adoption: Adoption
    files: ModelFiles
    workspace: Workspace
    profile_digest: Callable[[str], str]

    async def run(self, context: JobContext) -> Json:
        """Export and return the version's id.

        Raises:
            NotFound: A version that it reads was deleted.
            InvalidArgument: The form cannot be written from these weights.
            ResourceExhausted: There is no room for it.
            FailedPrecondition: The bytes that it reads are damaged.
        """
        spec = export_of(context.job).spec
        async with phase_told(context, ExportPhase.CHECK, "Checking the version."):
            version, base = await self._versions(spec)
            base_artifact = base.artifact if base else None
            recipe = recipe_of(version.artifact, base_artifact, spec, self.profile_digest(spec.profile_id))
            known = await self.models.find_exported(recipe.digest)
            if known is None:
                num_parameters = (base or version).facts.num_parameters
                self.workspace.check_space(0, spec.written_bytes(num_parameters, version.artifact.size_bytes))
        registered = known and await self._again(context, spec, recipe, known)
        registered = registered or await self._new(context, version, base, recipe)
        return {"model_version_id": registered.version_id}

    async def _versions(self, spec: ExportSpec) -> tuple[ModelVersion, ModelVersion | None]:
        version = await self.models.named(spec.model_version_id)
        return version, await self.models.named(
            version.base_model_version_id
        ) if version.kind is ModelVersionKind.ADAPTER else None

    async def _again(
        self, context: JobContext, spec: ExportSpec, recipe: Artifact, known: ModelVersion
    ) -> ModelVersion | None:
        """Return the version of an export that was made before; None when its bytes are not sound any more."""

        async def verified() -> ModelVersion:
            async with self.adoption.held(known.artifact):
                if known.model_id == spec.model_id:
                    return known
                return await self.models.add_version(
                    replace(
                        _draft(context, known.base_model_version_id, recipe), artifact=known.artifact, facts=known.facts
                    )
                )

        try:
            async with phase_told(context, ExportPhase.VERIFY, "Verifying what is stored."):
                return await patiently(verified, _STORE)
        except (FailedPrecondition, NotFound) as error:
            text = f"The stored bytes of {known.version_id} are damaged and are replaced: {error.problem}"
            await context.event("message", {"text": text})
            return None

    async def _new(
        self, context: JobContext, version: ModelVersion, base: ModelVersion | None, recipe: Artifact
    ) -> ModelVersion:
        spec = export_of(context.job).spec
        async with phase_told(context, ExportPhase.VERIFY, "Verifying the weights."):
            folder = await self._folder(version)
            base_folder = await self._folder(base) if base else None
        source = ExportSource(spec, version, folder, base, base_folder)
        with self.workspace.folder(context.job.job_id) as place:
            out = place / "form"
            async with phase_told(context, ExportPhase.WRITE, "Writing the form.") as progress:
                notes = await self.writers[spec.form].write(source, out, progress)
            await keep_notes(context, (*notes, *licence_warning(source)))
            async with phase_told(context, ExportPhase.STORE, "Storing the form."):
                facts = await self.files.facts_of(out, spec.form.kind)
                return await patiently(lambda: self._stored(context, source, out, facts=facts, recipe=recipe), _STORE)

    async def _folder(self, version: ModelVersion) -> Path:
        return await patiently(lambda: self.artifacts.local_path(version.artifact.uri), _STORE)

    async def _stored(
        self, context: JobContext, source: ExportSource, out: Path, *, facts: ModelFacts, recipe: Artifact
    ) -> ModelVersion:
        # An adapter is loaded on the same weights as the one that was exported.
        is_adapter = source.spec.form is ExportForm.ADAPTER
        lineage = source.version.base_model_version_id if is_adapter else source.version.version_id
        facts = inherited(facts, source.whole)
        async with self.adoption.written(out) as artifact:
            draft = replace(_draft(context, lineage, recipe), artifact=artifact, facts=facts)
            return await self.models.add_version(draft)


def licence_warning(source: ExportSource) -> tuple[str, ...]:
    """Return what to say of a form of weights whose licence forbids derivatives."""
    licence = source.whole.facts.licence
    if not forbids_derivatives(licence):
        return ()
    return (f"The licence {shown(licence)} forbids derivatives: passing this form on may be unlawful.",)


def _draft(context: JobContext, base_model_version_id: str, recipe: Artifact) -> ModelVersionDraft:
    spec = export_of(context.job).spec
    return ModelVersionDraft(
        request_id=f"{EXPORTED}{context.job.job_id}",
        model_id=spec.model_id,
        kind=spec.form.kind,
        base_model_version_id=base_model_version_id,
        artifact=recipe,
        source=recipe,
        produced_by=f"{EXPORTED}{context.job.job_id}",
        facts=ModelFacts("", 0, 0),
    )
