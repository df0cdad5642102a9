"""The end of a training job: one of its checkpoints becomes a model version."""

from __future__ import annotations

from functools import partial

from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.trainer.domain.attempt import Checkpoint, TrainingJobPhase
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.score import best_step
from services.trainer.domain.spec import TrainedWeights, TrainingJobSpec
from services.trainer.jobs.adapters import Adapters
from services.trainer.jobs.kept_checkpoints import STORE, KeptCheckpoints, path_of, scores_of
from services.trainer.manifest import ADAPTER, MODEL

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
