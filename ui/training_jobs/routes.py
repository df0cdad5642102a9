"""REST routes of training jobs, their checkpoints and curves."""

from __future__ import annotations

from typing import Annotated

from drillyard.trainer.v1 import checkpoint_pb2, training_job_pb2
from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sse_starlette import EventSourceResponse

from ui.shared.documents import Body, ClientsOf, CreateBody, Document, Page, document, message_of
from ui.shared.events import EVENT_STREAM, AfterSequence, EventStreams, LastEventId, start_after, streams_of
from ui.shared.schemas import shows

router = APIRouter(tags=["training jobs"])


class LoraBody(Body):
    """Settings of the adapter, in PEFT's names; zero means the default in brackets."""

    r: int = Field(default=0, description="Rank (16).")
    lora_alpha: int = Field(default=0, description="Scale (32).")
    lora_dropout: float = 0
    target_modules: list[str] = Field(default=[], description="Empty means all linear layers.")
    use_rslora: bool = False
    use_dora: bool = False
    loraplus_lr_ratio: float = Field(default=0, description="How many times faster than A the matrices B learn (4).")


class TrainingSettings(Body):
    """How to train; zero means the default in brackets."""

    output_model_id: str = Field(default="", description="The model that gets the result; empty: the one trained.")
    method: str = Field(default="TRAINING_METHOD_SFT", description="Only SFT is built.")
    trained_weights: str = Field(default="TRAINED_WEIGHTS_LORA", description="Only LoRA is built.")
    lora: LoraBody = Field(default_factory=LoraBody)
    num_epochs: int = Field(default=0, description="Passes over the train split (1).")
    batch_size: int = Field(default=0, description="Examples per step (8).")
    learning_rate: float = Field(default=0, description="Peak learning rate (1e-3).")
    warmup_ratio: float = Field(default=0, description="Share of steps that warm up (0.05).")
    save_steps: int = Field(default=0, description="Steps between checkpoints (10).")
    save_total_limit: int = Field(default=0, description="Checkpoints that are kept (2).")
    eval_steps: int = Field(default=0, description="Steps between measurements of adherence; 0: only at the end.")
    seed: int = 0
    num_workers: int = Field(default=0, description="Ray Train workers (1).")
    max_tokens_per_pack: int = Field(default=0, description="Longest row and packed sequence in tokens (6144).")


class TrainingJobBody(TrainingSettings, CreateBody):
    """What to train, and how."""

    model_version_id: str = Field(examples=["smollm2-135m-instruct@1"])
    dataset_version_id: str = Field(examples=["loop-4f1c@1"])


@router.post("/training-jobs", responses=shows(training_job_pb2.CreateTrainingJobResponse))
async def create_training_job(clients: ClientsOf, body: TrainingJobBody) -> Document:
    """Start a training job."""
    given = body.model_dump()
    request_id = given.pop("request_id")
    request = message_of(training_job_pb2.CreateTrainingJobRequest, {"request_id": request_id, "spec": given})
    return document(await clients.trainer.CreateTrainingJob(request))


@router.get("/training-jobs", responses=shows(training_job_pb2.ListTrainingJobsResponse))
async def list_training_jobs(clients: ClientsOf, page: Page) -> Document:
    """List training jobs, newest first."""
    return document(await clients.trainer.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest(**page)))


@router.get("/training-jobs/{training_job_id}", responses=shows(training_job_pb2.GetTrainingJobResponse))
async def get_training_job(clients: ClientsOf, training_job_id: str) -> Document:
    """Return one training job with its attempts."""
    request = training_job_pb2.GetTrainingJobRequest(training_job_id=training_job_id)
    return document(await clients.trainer.GetTrainingJob(request))


@router.post("/training-jobs/{training_job_id}/cancel", responses=shows(training_job_pb2.CancelTrainingJobResponse))
async def cancel_training_job(clients: ClientsOf, training_job_id: str) -> Document:
    """Cancel a training job; its checkpoints are kept."""
    request = training_job_pb2.CancelTrainingJobRequest(training_job_id=training_job_id)
    return document(await clients.trainer.CancelTrainingJob(request))


@router.get("/training-jobs/{training_job_id}/events", response_class=EventSourceResponse, responses=EVENT_STREAM)
async def watch_training_job(
    clients: ClientsOf,
    streams: Annotated[EventStreams, Depends(streams_of)],
    training_job_id: str,
    after_sequence: AfterSequence = 0,
    last_event_id: LastEventId = "",
) -> EventSourceResponse:
    """Stream the events of a training job, curve points and checkpoints among them."""
    await clients.trainer.GetTrainingJob(training_job_pb2.GetTrainingJobRequest(training_job_id=training_job_id))
    return streams.respond(
        lambda after: clients.trainer.WatchTrainingJob(
            training_job_pb2.WatchTrainingJobRequest(training_job_id=training_job_id, after_sequence=after)
        ),
        start_after(after_sequence, last_event_id),
    )


@router.get("/training-jobs/{training_job_id}/checkpoints", responses=shows(checkpoint_pb2.ListCheckpointsResponse))
async def list_checkpoints(clients: ClientsOf, page: Page, training_job_id: str) -> Document:
    """List the checkpoints of a job, newest first."""
    request = checkpoint_pb2.ListCheckpointsRequest(training_job_id=training_job_id, **page)
    return document(await clients.trainer.ListCheckpoints(request))


@router.get("/training-jobs/{training_job_id}/curve-points", responses=shows(checkpoint_pb2.ListCurvePointsResponse))
async def list_curve_points(
    clients: ClientsOf,
    page: Page,
    training_job_id: str,
    metric: Annotated[str, Query(description='Only this metric, such as "loss".')] = "",
) -> Document:
    """List measured values by step."""
    request = checkpoint_pb2.ListCurvePointsRequest(training_job_id=training_job_id, metric=metric, **page)
    return document(await clients.trainer.ListCurvePoints(request))
