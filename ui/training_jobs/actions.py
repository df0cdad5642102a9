"""Reading training jobs together with what they measured."""

from __future__ import annotations

import asyncio

from drillyard.trainer.v1 import checkpoint_pb2, training_job_pb2

from ui.gateway.clients import Clients, every
from ui.training_jobs.views import TrainingJobView, training_job_view

NUM_RECENT = 20


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


async def recent_training_jobs(clients: Clients) -> list[TrainingJobView]:
    """Return the newest jobs without their curves."""
    listed = await clients.trainer.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest(page_size=NUM_RECENT))
    return [training_job_view(training_job) for training_job in listed.training_jobs]
