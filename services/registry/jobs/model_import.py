"""The job that checks, converts and registers a model. Its unit of work is the whole import: a repeat begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.chassis.artifacts import Artifact
from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.registry.domain.model import ModelFacts, ModelVersion, ModelVersionDraft, ModelVersionKind
from services.registry.domain.model_import import NOTES, Import, ImportPhase, InspectedSource, SourceKind, import_of
from services.registry.ports import Importer, ModelFiles, ModelStore, Progress, Workspace
from services.registry.usecases.adoption import Adoption

_STORE = "the artifact store"
_HEARTBEAT_SECONDS = 2.0


@dataclass(frozen=True)
class ImportJob:
    """Does imports. What is registered is complete; what fails or is cancelled leaves nothing behind."""

    importers: Mapping[SourceKind, Importer]
    models: ModelStore
    adoption: Adoption
    files: ModelFiles
    workspace: Workspace

    async def run(self, context: JobContext) -> Json:
        """Import and return the version's id.

        Raises:
            InvalidArgument: The source can't be imported.
            ResourceExhausted: There is no room for it, or its files needed more than they may.
            FailedPrecondition: The source changed meanwhile.
        """
        model_import = import_of(context.job)
        importer = self.importers[model_import.source.kind]
        async with _alive(context, ImportPhase.CHECK, "Checking the source."):
            source = await importer.inspect(importer.locate(model_import.source.value))
            await _tell(context, source.notes)
            self.workspace.check_space(source.written_bytes)
        async with _alive(context, ImportPhase.HASH, "Reading the source.") as progress:
            origin = await importer.identify(source, progress)
        known = await self.models.find_imported(origin.digest)
        version = known and await self._again(context, known, origin)
        version = version or await self._new(context, importer, source, origin=origin, known=known)
        return {"model_version_id": version.version_id}

    async def _again(self, context: JobContext, known: ModelVersion, origin: Artifact) -> ModelVersion | None:
        """Return the version of a source that was imported before; None when its bytes are not sound any more."""
        draft = _draft(import_of(context.job), origin, known.artifact, known.facts)

        async def verified() -> ModelVersion:
            async with self.adoption.held(known.artifact):
                return await self._registered(draft, known)

        try:
            async with _alive(context, ImportPhase.VERIFY, "Verifying what is stored."):
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
    ) -> ModelVersion:
        with self.workspace.folder(context.job.job_id) as folder:
            out = folder / "model"
            async with _alive(context, ImportPhase.CONVERT, "Writing the weights.") as progress:
                await importer.write(source, out, progress)
            async with _alive(context, ImportPhase.STORE, "Storing the weights."):
                facts = await self.files.facts_of(out, ModelVersionKind.BASE)
                return await patiently(lambda: self._stored(context, out, origin, facts, known), _STORE)

    async def _stored(
        self, context: JobContext, out: Path, origin: Artifact, facts: ModelFacts, known: ModelVersion | None
    ) -> ModelVersion:
        async with self.adoption.written(out) as artifact:
            return await self._registered(_draft(import_of(context.job), origin, artifact, facts), known)

    async def _registered(self, draft: ModelVersionDraft, known: ModelVersion | None) -> ModelVersion:
        if known and (known.model_id, known.artifact.digest) == (draft.model_id, draft.artifact.digest):
            return known
        return await self.models.add_version(draft)


@asynccontextmanager
async def _alive(context: JobContext, phase: ImportPhase, message: str) -> AsyncIterator[Progress]:
    """Report the phase at once, then again and again, so that a watcher sees that work goes on."""

    async def progress(done: int, total: int) -> None:
        await context.progress(phase=phase, done=done, total=total, unit="bytes", message=message)

    async def beat() -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            await context.progress()

    await progress(0, 0)
    beating = asyncio.create_task(beat())
    try:
        yield progress
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def _tell(context: JobContext, notes: Sequence[str]) -> None:
    """Keep the notes with the job, and say each in its history; a repeat says what is new."""
    earlier = (context.saved or {}).get(NOTES, ())
    await context.checkpoint({NOTES: list(notes)})
    for note in notes:
        if note not in earlier:
            await context.event("message", {"text": note})


def _draft(model_import: Import, origin: Artifact, artifact: Artifact, facts: ModelFacts) -> ModelVersionDraft:
    return ModelVersionDraft(
        request_id=f"import:{model_import.job.job_id}",
        model_id=model_import.model_id,
        kind=ModelVersionKind.BASE,
        base_model_version_id="",
        artifact=artifact,
        source=origin,
        produced_by=f"import:{model_import.job.job_id}",
        facts=facts,
    )
