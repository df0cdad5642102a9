"""`/v1/fine_tuning/jobs`: training jobs as OpenAI's fine-tuning jobs."""

from __future__ import annotations

import asyncio
import re
import secrets
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from drillyard.trainer.v1 import checkpoint_pb2
from drillyard.trainer.v1 import training_job_pb2 as pb
from fastapi import APIRouter, Header, Query

from ui.gateway.clients import Clients, every
from ui.openai.errors import ERROR_RESPONSES, OpenAIError
from ui.openai.fine_tuning.files import file_version
from ui.openai.fine_tuning.paging import FineTuningRoute, listed, page_of
from ui.openai.fine_tuning.results import curves_of
from ui.openai.fine_tuning.schemas import JobBody
from ui.openai.fine_tuning.specs import EVAL_STEPS, spec_of
from ui.openai.fine_tuning.views import checkpoint_document, event_document, event_id, job_document
from ui.openai.served import ServedModelsOf
from ui.shared.documents import ClientsOf, Document

router = APIRouter(prefix="/fine_tuning/jobs", tags=["OpenAI"], route_class=FineTuningRoute, responses=ERROR_RESPONSES)
_MAX_JOBS = 10_000
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str, Query(max_length=200)]


@router.post("")
async def create_fine_tuning_job(
    clients: ClientsOf,
    served: ServedModelsOf,
    body: JobBody,
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> Document:
    """Train a model on a file; a key that was used before gives the job that it made."""
    version = (await served.target(body.model)).version
    dataset = await file_version(clients, body.training_file, "training_file")
    # The same key asks for the same job.
    drawn = zlib.crc32(idempotency_key.encode()) if idempotency_key else secrets.randbits(31)
    spec = spec_of(body, version, dataset, drawn if body.seed is None else body.seed)
    if body.validation_file:
        validation = await file_version(clients, body.validation_file, "validation_file")
        spec.validation_dataset_version_id = validation.dataset_version_id
        spec.eval_steps = spec.eval_steps or EVAL_STEPS
    request = pb.CreateTrainingJobRequest(request_id=idempotency_key, spec=spec)
    return await _document(clients, (await clients.trainer.CreateTrainingJob(request)).training_job)


@router.get("")
async def list_fine_tuning_jobs(clients: ClientsOf, after: After = "", limit: Limit = 20) -> Document:
    """List training jobs, newest first."""
    found = await every(clients.trainer.ListTrainingJobs, pb.ListTrainingJobsRequest(), "training_jobs", _MAX_JOBS)
    jobs = {job.training_job_id: job for job in found}
    page = page_of([{"id": job_id} for job_id in jobs], after, limit)
    documents = await asyncio.gather(*(_document(clients, jobs[entry["id"]]) for entry in page["data"]))
    return page | {"data": documents}


@router.get("/{job_id}")
async def get_fine_tuning_job(clients: ClientsOf, job_id: str) -> Document:
    """Return one job."""
    return await _document(clients, await _job(clients, job_id))


@router.post("/{job_id}/cancel")
async def cancel_fine_tuning_job(clients: ClientsOf, job_id: str) -> Document:
    """Cancel a job; its checkpoints are kept."""
    response = await clients.trainer.CancelTrainingJob(pb.CancelTrainingJobRequest(training_job_id=job_id))
    return await _document(clients, response.training_job)


@router.post("/{job_id}/pause")
async def pause_fine_tuning_job(clients: ClientsOf, job_id: str) -> Document:
    """Pause a job after its step: it saves, and frees memory and processes; until then its status is `running`."""
    response = await clients.trainer.PauseTrainingJob(pb.PauseTrainingJobRequest(training_job_id=job_id))
    return await _document(clients, response.training_job)


@router.post("/{job_id}/resume")
async def resume_fine_tuning_job(clients: ClientsOf, job_id: str) -> Document:
    """Let a paused job go on; it ends as it would have without the pause."""
    response = await clients.trainer.ResumeTrainingJob(pb.ResumeTrainingJobRequest(training_job_id=job_id))
    return await _document(clients, response.training_job)


@router.get("/{job_id}/events")
async def list_fine_tuning_events(clients: ClientsOf, job_id: str, after: After = "", limit: Limit = 20) -> Document:
    """List what has happened to a job, newest first; of each step what was measured."""
    newest = (await _job(clients, job_id)).job.last_sequence
    # Sequences have no gaps, so that a page is read without those before it.
    end = _sequence(after, job_id, newest) - 1 if after else newest
    start = max(0, end - limit)
    events = [event_document(job_id, response) async for response in _events(clients, job_id, start, end)]
    return listed(events[::-1], has_more=start > 0)


@router.get("/{job_id}/checkpoints")
async def list_fine_tuning_checkpoints(
    clients: ClientsOf, job_id: str, after: After = "", limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> Document:
    """List the checkpoints of a job, newest first."""
    job = await _job(clients, job_id)
    request = checkpoint_pb2.ListCheckpointsRequest(training_job_id=job_id)
    checkpoints = await every(clients.trainer.ListCheckpoints, request, "checkpoints")
    curves = await curves_of(clients, job_id)
    return page_of([checkpoint_document(job, checkpoint, curves) for checkpoint in checkpoints], after, limit)


async def _job(clients: Clients, job_id: str) -> pb.TrainingJob:
    response: Any = await clients.trainer.GetTrainingJob(pb.GetTrainingJobRequest(training_job_id=job_id))
    job: pb.TrainingJob = response.training_job
    return job


async def _document(clients: Clients, job: pb.TrainingJob) -> Document:
    steps = await curves_of(clients, job.training_job_id, "tokens") if job.model_version_id else {}
    return job_document(job, int(sum(values["tokens"] for values in steps.values())))


async def _events(clients: Clients, job_id: str, start: int, end: int) -> AsyncIterator[pb.WatchTrainingJobResponse]:
    """Yield the events behind the sequence `start`, to `end`, all of which have happened."""
    if start == end:
        return
    stream: Any = clients.trainer.WatchTrainingJob(
        pb.WatchTrainingJobRequest(training_job_id=job_id, after_sequence=start)
    )
    async with aclosing(stream):
        async for response in stream:
            yield response
            if response.event.sequence >= end:
                return


def _sequence(after: str, job_id: str, newest: int) -> int:
    match = re.fullmatch(rf"{re.escape(event_id(job_id, 0)[:-1])}([1-9][0-9]{{0,17}})", after)
    if match is None or int(match[1]) > newest:
        raise OpenAIError(f"The job has no event {after[:200]!a}.", param="after", code="invalid_value")
    return int(match[1])
