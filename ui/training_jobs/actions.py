"""Reading training jobs together with what they measured."""

from __future__ import annotations

import asyncio

from drillyard.trainer.v1 import checkpoint_pb2, training_job_pb2

from ui.gateway.clients import Clients, every
from ui.shared.dependants import deleting
from ui.training_jobs.views import TrainingJobView, training_job_view

NUM_RECENT = 20
LOOK_SECONDS = 120.0
"""The first look at a model starts a process, which takes its time on a busy machine."""
_SENTENCES = {
    "pause": "The job pauses after its step; it saves first.",
    "resume": "The job goes on.",
    "cancel": "The job is being cancelled; its checkpoints are kept.",
    "delete": "The job {0} is deleted; the version that it made stays.",
    "drop": "The checkpoint of step {1} is deleted.",
}


async def read_training_job(clients: Clients, training_job_id: str) -> TrainingJobView:
    """Return a job with its curves and checkpoints.

    Raises:
        NotFound: There is no such job.
    """
    trainer = clients.trainer
    request = training_job_pb2.GetTrainingJobRequest(training_job_id=training_job_id)
    points = checkpoint_pb2.ListCurvePointsRequest(training_job_id=training_job_id)
    checkpoints = checkpoint_pb2.ListCheckpointsRequest(training_job_id=training_job_id)
    response, measured, kept = await asyncio.gather(
        trainer.GetTrainingJob(request),
        every(trainer.ListCurvePoints, points, "curve_points"),
        every(trainer.ListCheckpoints, checkpoints, "checkpoints"),
    )
    return training_job_view(response.training_job, measured, kept)


async def act(clients: Clients, verb: str, training_job_id: str, step: int) -> str:
    """Do to a job what a person has chosen, and return the sentence that says so.

    Args:
        clients: The services.
        verb: "pause", "resume", "cancel", "delete", or "drop" for the checkpoint of `step`; others do nothing.
        training_job_id: The job.
        step: Of the checkpoint.
    """
    trainer, names = clients.trainer, {"training_job_id": training_job_id}
    if verb == "pause":
        await trainer.PauseTrainingJob(training_job_pb2.PauseTrainingJobRequest(**names))
    elif verb == "resume":
        await trainer.ResumeTrainingJob(training_job_pb2.ResumeTrainingJobRequest(**names))
    elif verb == "cancel":
        await trainer.CancelTrainingJob(training_job_pb2.CancelTrainingJobRequest(**names))
    elif verb == "delete":
        request = training_job_pb2.DeleteTrainingJobRequest(**names)
        await deleting(lambda clients: clients.trainer.DeleteTrainingJob)(clients, request)
    elif verb == "drop":
        await trainer.DeleteCheckpoint(checkpoint_pb2.DeleteCheckpointRequest(**names, step=step))
    return _SENTENCES.get(verb, "").format(training_job_id, step)


async def recent_training_jobs(clients: Clients) -> list[TrainingJobView]:
    """Return the newest jobs without their curves."""
    listed = await clients.trainer.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest(page_size=NUM_RECENT))
    return [training_job_view(training_job) for training_job in listed.training_jobs]
