"""What jobs read, from the registry and from the job that they are a fork of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from services.chassis.errors import NotFound
from services.chassis.jobs import Job, JobStore
from services.chassis.wire import from_document
from services.trainer.domain.inputs import Artifact, TrainingInputs, check_fork
from services.trainer.domain.preflight import SuiteFile
from services.trainer.domain.spec import KIND, TrainingJobSpec
from services.trainer.jobs.stored_checkpoints import StoredCheckpoints
from services.trainer.ports import Registry, TrainingStore


class JobInputs:
    """Resolves inputs once per job, and stores them.

    Attributes:
        checkpoints: Those of all jobs.
    """

    def __init__(
        self, jobs: JobStore, store: TrainingStore, registry: Registry, checkpoints: StoredCheckpoints
    ) -> None:
        self._jobs = jobs
        self._store = store
        self._registry = registry
        self.checkpoints = checkpoints

    async def resolve(self, spec: TrainingJobSpec) -> TrainingInputs:
        """Return what a job of `spec` reads, and keep nothing.

        Raises:
            NotFound: There is no such version, no job to fork, or none of its checkpoints is of that step.
            FailedPrecondition: The model cannot be trained, or the dataset has no train split.
            InvalidArgument: The fork trains other weights than the job it begins with.
        """
        inputs = await self._registry.resolve(spec)
        if not spec.fork.training_job_id:
            return inputs
        forked = await self._forked_job(spec)
        forked_inputs = (await self._store.get_inputs([forked.job_id])).get(forked.job_id)
        if forked_inputs is not None:
            check_fork(spec, inputs, from_document(TrainingJobSpec, forked.spec), forked_inputs)
        checkpoint = await self.checkpoints.get(forked, spec.fork.step, newest=not spec.fork.step)
        return replace(inputs, fork_step=checkpoint.step)

    async def store(self, job_id: str, spec: TrainingJobSpec, inputs: TrainingInputs) -> TrainingInputs:
        """Store resolved inputs, once a fork has a checkpoint of its own; those that are stored already stay.

        Raises:
            NotFound: The checkpoint of a fork was removed meanwhile; FailedPrecondition: it is damaged.
            ResourceExhausted: There is no room for it.
        """
        stored = (await self._store.get_inputs([job_id])).get(job_id)
        if stored is not None:
            return stored
        if spec.fork.training_job_id:
            inputs = await self.checkpoints.forked(await self._forked_job(spec), spec, inputs)
        return await self._store.add_inputs(job_id, inputs)

    async def _forked_job(self, spec: TrainingJobSpec) -> Job:
        job_id = spec.fork.training_job_id
        try:
            job = await self._jobs.get(job_id)
        except NotFound:
            job = None
        if job is None or job.kind != KIND:
            raise NotFound(
                f"There is no training job {job_id[:100]!a} to fork.",
                "List the training jobs to see their ids.",
                field="spec.fork.training_job_id",
            )
        return job


async def suite_files(registry: Registry, place_of: Callable[[Artifact], Awaitable[str]]) -> tuple[SuiteFile, ...]:
    """Return the cases of all suites that test, each at its place; one that was deleted meanwhile is left out.

    Raises:
        Unavailable: The registry, or the artifact store, is away.
    """
    files = []
    for name, artifact in await registry.list_suites():
        try:
            files.append(SuiteFile(name, await place_of(artifact), artifact.digest))
        except NotFound:
            continue
    return tuple(files)
