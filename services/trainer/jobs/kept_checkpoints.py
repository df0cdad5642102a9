"""The checkpoints of a job in the artifact store, from which another machine with an empty disk goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import structlog

from services.chassis.artifacts import ArtifactStore
from services.chassis.artifacts.artifact import parse_uri
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, ServiceError
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.trainer.domain.attempt import SCORE, Checkpoint, best_step
from services.trainer.manifest import MANIFEST, LocalCheckpoints
from services.trainer.ports import TrainingStore
from services.trainer.telemetry import TrainerTelemetry

STORE = "the artifact store"
DISK = "the disk"
_SAVED = "checkpoints"
_MAX_POINTS = 100_000
_log = structlog.get_logger()


@dataclass(frozen=True, order=True)
class KeptCheckpoint:
    """A checkpoint's folder as an artifact; `digest` is that of its manifest of files."""

    step: int
    attempt: int
    uri: str
    digest: str
    size_bytes: int


class KeptCheckpoints:
    """Keeps what an attempt saves beside its steps, and brings it back; the job's row says what is kept.

    The bytes are there before the row names them, and go after it has ceased to.
    """

    def __init__(
        self,
        context: JobContext,
        artifacts: ArtifactStore,
        store: TrainingStore,
        *,
        telemetry: TrainerTelemetry,
        save_total_limit: int,
        are_stored: bool = False,
    ) -> None:
        """`are_stored` says that attempts put their checkpoints into the store themselves."""
        self._are_stored = are_stored
        self._context = context
        self._artifacts = artifacts
        self._store = store
        self._telemetry = telemetry
        self._limit = max(save_total_limit, 1)
        self._kept = kept_checkpoints(context.saved)

    async def keep_all(self, checkpoints: asyncio.Queue[Checkpoint | None]) -> None:
        """Keep each checkpoint that comes, until None does."""
        while (checkpoint := await checkpoints.get()) is not None:
            await self._keep(checkpoint)

    async def restored(
        self, folders: LocalCheckpoints, config_digest: str, newest: Checkpoint | None
    ) -> Checkpoint | None:
        """Return the newest checkpoint: `newest`, which this machine has, or a kept one that is brought here.

        What does not verify is dropped, with an event, and the one before it used.
        """
        for kept in tuple(self._kept):
            if newest and (kept.step, kept.attempt) <= (newest.step, newest.attempt):
                break
            if checkpoint := await self._brought(folders, kept, config_digest):
                return checkpoint
        return newest

    async def of_step(self, folders: LocalCheckpoints, config_digest: str, step: int) -> Checkpoint | None:
        """Return the checkpoint of a step, from this machine or a kept one that is brought here; None without one."""
        job_id = self._context.job.job_id
        if checkpoint := await folders.of_step(job_id, step, config_digest):
            return checkpoint
        for kept in [kept for kept in self._kept if kept.step == step]:
            if checkpoint := await self._brought(folders, kept, config_digest):
                return checkpoint
        return None

    async def uri_of(self, checkpoint: Checkpoint) -> str:
        """Return the URI of the kept copy of a checkpoint that is on this machine; one is made where there is none.

        Raises:
            FailedPrecondition: It cannot be kept.
        """
        place = (checkpoint.step, checkpoint.attempt)
        if place not in [(kept.step, kept.attempt) for kept in self._kept]:
            await self._put(checkpoint)
        for kept in self._kept:
            if (kept.step, kept.attempt) == place:
                return kept.uri
        raise FailedPrecondition(
            f"The checkpoint of step {checkpoint.step} cannot be brought to where the attempts run.",
            "Look at the job's messages for what the artifact store says.",
        )

    async def _brought(self, folders: LocalCheckpoints, kept: KeptCheckpoint, config_digest: str) -> Checkpoint | None:
        """Bring a kept checkpoint here; one that does not verify is dropped, with an event."""
        try:
            source = await patiently(partial(self._artifacts.local_path, kept.uri), STORE)
            job_id = self._context.job.job_id
            return await patiently(partial(folders.restore, job_id, source, config_digest), DISK)
        except (NotFound, FailedPrecondition, PermissionDenied) as error:
            await self._drop(kept, error)
        return None

    async def _keep(self, checkpoint: Checkpoint) -> None:
        if self._are_stored:
            # Its processes have put it there, and read it back.
            digest = parse_uri(checkpoint.uri)[1].digest
            await self._add(
                KeptCheckpoint(checkpoint.step, checkpoint.attempt, checkpoint.uri, digest, checkpoint.size_bytes)
            )
            return
        await self._put(checkpoint)

    async def _put(self, checkpoint: Checkpoint) -> None:
        folder = path_of(checkpoint.uri)
        try:
            whole_bytes = checkpoint.size_bytes + (folder / MANIFEST).stat().st_size
            artifact = await patiently(lambda: self._artifacts.put_tree(folder, linked=True), STORE)
        except (NotFound, FileNotFoundError):
            # A newer one has taken its place meanwhile, and comes next.
            return
        except (OSError, InvalidArgument, PermissionDenied) as error:
            # Training goes on: the next one may be kept, and the last one lies on this machine.
            _log.warning("checkpoint_not_kept", step=checkpoint.step, reason=str(error))
            text = f"The checkpoint of step {checkpoint.step} cannot be kept in the artifact store: {error}"
            await self._context.event("message", {"text": text})
            return
        if artifact.size_bytes != whole_bytes:
            # Its files were being removed.
            await self._delete([artifact.uri])
            return
        await self._add(
            KeptCheckpoint(checkpoint.step, checkpoint.attempt, artifact.uri, artifact.digest, artifact.size_bytes)
        )

    async def _add(self, kept: KeptCheckpoint) -> None:
        newest = sorted({kept, *self._kept}, reverse=True)
        best = best_step(await scores_of(self._store, self._context.job.job_id))
        await self._save([item for place, item in enumerate(newest) if place < self._limit or item.step == best])

    async def _drop(self, kept: KeptCheckpoint, error: ServiceError) -> None:
        self._telemetry.checkpoint_quarantined()
        text = f"The kept copy of the checkpoint of step {kept.step} was dropped: {error.problem}"
        await self._context.event("message", {"text": text})
        await self._save([item for item in self._kept if item != kept])

    async def _save(self, kept: list[KeptCheckpoint]) -> None:
        gone = {item.uri for item in self._kept} - {item.uri for item in kept}
        self._kept = kept
        await self._context.checkpoint({_SAVED: [asdict(item) for item in kept]})
        await self._delete(sorted(gone))

    async def _delete(self, uris: Sequence[str]) -> None:
        for uri in uris:
            try:
                await self._artifacts.delete(uri)
            except (ServiceError, OSError) as error:
                # Nothing names it any more: it costs room until the store is cleaned up.
                _log.warning("kept_checkpoint_not_deleted", uri=uri, reason=str(error))


async def scores_of(store: TrainingStore, training_job_id: str) -> dict[int, float]:
    """Return the scores of a job by their steps, in order."""
    points = await store.list_curve_points(training_job_id, SCORE, after=(0, ""), limit=_MAX_POINTS)
    return {point.step: point.value for point in points}


def kept_checkpoints(saved: Json | None) -> list[KeptCheckpoint]:
    """Return what a job's row names as kept."""
    return [KeptCheckpoint(**item) for item in (saved or {}).get(_SAVED, ())]


def path_of(uri: str) -> Path:
    """Return the place of a `file://` URI."""
    return Path(url2pathname(urlparse(uri).path))
