"""Checkpoints as callers reach them, on this machine or in the artifact store: their files, their end, and forks."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import Job
from services.chassis.machine.files import remove_tree
from services.trainer.domain.attempt import Checkpoint, CheckpointFile, best_step
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.jobs.kept_checkpoints import kept_checkpoints
from services.trainer.manifest import MANIFEST, BadCheckpointError, LocalCheckpoints, files_of, place_for, write_fork
from services.trainer.ports import TrainingStore


class StoredCheckpoints:
    """What may be done with the checkpoints of a job besides going on from them."""

    def __init__(self, store: TrainingStore, artifacts: ArtifactStore, folders: LocalCheckpoints) -> None:
        self._store = store
        self._artifacts = artifacts
        self._folders = folders

    async def get(self, job: Job, step: int, *, newest: bool = False) -> Checkpoint:
        """Return the checkpoint of a step, or the newest one.

        Raises:
            NotFound: The job has none.
        """
        checkpoints = await self._store.list_checkpoints(job.job_id)
        for checkpoint in checkpoints:
            if newest or checkpoint.step == step:
                return checkpoint
        steps = ", ".join(str(item.step) for item in reversed(checkpoints))
        raise NotFound(
            f"The training job {job.job_id} has no checkpoint of step {step}.",
            f"It has those of steps {steps}." if steps else "It has none yet: wait until it has saved one.",
        )

    async def files(self, job: Job, checkpoint: Checkpoint) -> tuple[CheckpointFile, ...]:
        """Return its files by path, without reading their bytes.

        Raises:
            NotFound: It is on another machine alone, or was removed meanwhile.
            FailedPrecondition: Its manifest cannot be read.
        """
        folder = await self._folder(job, checkpoint)
        try:
            return await asyncio.to_thread(files_of, folder)
        except (BadCheckpointError, FileNotFoundError) as error:
            raise _unusable(checkpoint, error) from error

    async def delete(self, job: Job, checkpoint: Checkpoint) -> None:
        """Remove a checkpoint from the job's list, from this machine and from the artifact store.

        Raises:
            FailedPrecondition: It is the job's result, or the job has not ended and needs it.
        """
        if reason := _need(job, checkpoint, await self._store.list_checkpoints(job.job_id)):
            raise FailedPrecondition(
                f"The checkpoint of step {checkpoint.step} cannot be deleted: {reason}.",
                "Delete another one, or the whole job once it has ended.",
            )
        await self._store.delete_checkpoints(job.job_id, [checkpoint.step])
        folder = place_for(self._folders.folder(job.job_id), checkpoint.step, checkpoint.attempt)
        # Without its manifest a folder that is half removed is no checkpoint.
        await asyncio.to_thread(remove_tree, folder / MANIFEST)
        await asyncio.to_thread(remove_tree, folder)
        for kept in kept_checkpoints(job.saved):
            if (kept.step, kept.attempt) == (checkpoint.step, checkpoint.attempt):
                await self._artifacts.delete(kept.uri)

    async def forked(self, job: Job, spec: TrainingJobSpec, inputs: TrainingInputs) -> TrainingInputs:
        """Return the inputs of a fork of `job` with a checkpoint of its own to begin with; nothing of `job` is needed.

        Raises:
            NotFound: The checkpoint is on another machine alone, or was removed meanwhile.
            FailedPrecondition: It cannot be read.
            ResourceExhausted: There is no room for it.
        """
        checkpoint = await self.get(job, inputs.fork_step)
        folder = await self._folder(job, checkpoint)
        parent = self._folders.folder(job.job_id).parent
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as temporary:
            fork = partial(write_fork, folder, Path(temporary) / "fork", config_digest=inputs.config_digest(spec))
            try:
                await asyncio.to_thread(fork)
            except (BadCheckpointError, FileNotFoundError) as error:
                raise _unusable(checkpoint, error) from error
            # Its files are links to those of the checkpoint, and nobody changes either.
            artifact = await self._artifacts.put_tree(Path(temporary) / "fork", linked=True)
        return replace(inputs, fork=Artifact(artifact.uri, artifact.digest, artifact.size_bytes))

    async def _folder(self, job: Job, checkpoint: Checkpoint) -> Path:
        folder = place_for(self._folders.folder(job.job_id), checkpoint.step, checkpoint.attempt)
        if await asyncio.to_thread((folder / MANIFEST).is_file):
            return folder
        for kept in kept_checkpoints(job.saved):
            if (kept.step, kept.attempt) == (checkpoint.step, checkpoint.attempt):
                return await self._artifacts.local_path(kept.uri)
        raise NotFound(
            f"The files of the checkpoint of step {checkpoint.step} are not here, nor in the artifact store.",
            "Try again in a minute, or use another checkpoint.",
        )


def _need(job: Job, checkpoint: Checkpoint, checkpoints: tuple[Checkpoint, ...]) -> str:
    """Return why a checkpoint must stay, as one clause; empty when it need not."""
    if job.is_final:
        return "it is the job's result" if (job.result or {}).get("step") == checkpoint.step else ""
    if checkpoint.step == checkpoints[0].step:
        return f"the job is {job.state} and goes on from it"
    best = best_step({item.step: item.score for item in checkpoints if item.score is not None})
    return f"the job is {job.state} and it has the best score" if checkpoint.step == best else ""


def _unusable(checkpoint: Checkpoint, error: Exception) -> FailedPrecondition:
    return FailedPrecondition(
        f"The checkpoint of step {checkpoint.step} cannot be used: {error}.", "Use another checkpoint."
    )
