"""Where an attempt finds what it reads: on this machine, or in the artifact store for processes with another disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.trainer.domain.attempt import Checkpoint, TrainingJobPhase, best_step
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.preflight import SuiteFile
from services.trainer.domain.spec import TrainedWeights, TrainingJobSpec
from services.trainer.jobs.adapters import Adapters
from services.trainer.jobs.inputs import suite_files
from services.trainer.jobs.kept_checkpoints import STORE, KeptCheckpoints, path_of, scores_of
from services.trainer.manifest import ADAPTER, MODEL


@dataclass(frozen=True)
class Places:
    """What an attempt reads, as paths or as URIs of artifacts; what there is none of is empty."""

    base: str
    adapter: str
    dataset: str
    resume_from: str
    suites: tuple[SuiteFile, ...]
    validation: str


async def places_of(
    to: Adapters, inputs: TrainingInputs, kept: KeptCheckpoints, checkpoint: Checkpoint | None, *, with_suites: bool
) -> Places:
    """Return the places for an attempt that goes on from `checkpoint`, or begins at step 0.

    Raises:
        FailedPrecondition: Something was deleted after the job was created.
    """
    suites = partial(suite_files, to.registry, partial(_place_of, to))
    validation, measured = inputs.validation, f"dataset version {inputs.validation_dataset_version_id}"
    adapter, model = inputs.adapter, f"model version {inputs.base_model_version_id}"
    return Places(
        base=await _named(to, inputs.base, model),
        adapter=await _named(to, adapter, f"model version {inputs.model_version_id}") if adapter else "",
        dataset=await _named(to, inputs.dataset, f"dataset version {inputs.dataset_version_id}"),
        resume_from=await _resumed(to, inputs, kept, checkpoint) if checkpoint else "",
        suites=await patiently(suites, REGISTRY) if with_suites else (),
        validation=await _named(to, validation, measured) if validation else "",
    )


async def _resumed(to: Adapters, inputs: TrainingInputs, kept: KeptCheckpoints, checkpoint: Checkpoint) -> str:
    if not to.backend.fetches_artifacts:
        return str(path_of(checkpoint.uri))
    if inputs.fork and checkpoint.step == 0:
        return inputs.fork.uri
    return await kept.uri_of(checkpoint)


async def _named(to: Adapters, artifact: Artifact, name: str) -> str:
    try:
        return await patiently(partial(_place_of, to, artifact), STORE)
    except NotFound as error:
        raise FailedPrecondition(
            f"The {name} was deleted after the job was created.", "Start a new job with one that is there."
        ) from error


async def _place_of(to: Adapters, artifact: Artifact) -> str:
    return artifact.uri if to.backend.fetches_artifacts else str(await to.artifacts.local_path(artifact.uri))


REGISTRY = "the registry"


async def chosen(
    to: Adapters, context: JobContext, kept: KeptCheckpoints, *, digest: str, last: Checkpoint
) -> Checkpoint:
    """Return the checkpoint with the best score; the next best, with an event, in the place of one that is damaged."""
    scores = await scores_of(to.store, context.job.job_id)
    while (step := best_step(scores)) not in (0, last.step):
        if best := await kept.of_step(to.checkpoints, digest, step):
            return best
        del scores[step]
        text = f"The checkpoint of step {step} has the best score and cannot be used; the next best takes its place."
        await context.event("message", {"text": text})
    return last


async def register(
    to: Adapters, context: JobContext, spec: TrainingJobSpec, inputs: TrainingInputs, trained: Checkpoint
) -> Json:
    """Hand the weights of a checkpoint to the registry, once, and return the result of the job."""
    await context.progress(phase=TrainingJobPhase.REGISTER, message=f"Registering the weights of step {trained.step}.")
    is_adapter = spec.trained_weights is TrainedWeights.LORA
    folder = path_of(trained.uri) / (ADAPTER if is_adapter else MODEL)
    # Nobody changes a checkpoint's files, so links to them are as good as copies.
    artifact = await patiently(lambda: to.artifacts.put_tree(folder, linked=True), STORE)
    job_id, weights = context.job.job_id, Artifact(artifact.uri, artifact.digest, artifact.size_bytes)
    hand_over = partial(to.registry.register_weights, f"{job_id}/result", inputs, weights)
    produced_by = f"training_job:{job_id}"
    version = await patiently(lambda: hand_over(is_adapter=is_adapter, produced_by=produced_by), REGISTRY)
    return {"model_version_id": version, "step": trained.step}
