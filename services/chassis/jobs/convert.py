"""Jobs on the wire."""

from __future__ import annotations

from drillyard.job.v1 import job_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from services.chassis.jobs.job import PROGRESS_EVENT, Job, JobEvent, JobState, Json
from services.chassis.wire import convert_by, timestamp

_PROGRESS_NAMES = {"done": "num_done", "total": "num_total"}


def job_to_proto(job: Job) -> job_pb2.Job:
    """Return the job as callers see it; spec, result and lease stay inside the service."""
    message = job_pb2.Job(
        job_id=job.job_id,
        kind=job.kind,
        state=job_pb2.JobState.Value(f"JOB_STATE_{job.state}"),
        request_id="" if job.request_id.startswith("once:") else job.request_id,
        progress=progress_to_proto(job.progress),
        attempt=job.attempt,
        last_sequence=job.last_sequence,
        create_time=timestamp(job.create_time),
        update_time=timestamp(job.update_time),
    )
    if job.error is not None:
        message.error.CopyFrom(
            job_pb2.JobError(code=job.error.code, problem=job.error.problem, next_step=job.error.next_step)
        )
    if job.start_time is not None:
        message.start_time.CopyFrom(timestamp(job.start_time))
    if job.end_time is not None:
        message.end_time.CopyFrom(timestamp(job.end_time))
    return message


def state_of(job: job_pb2.Job) -> JobState:
    """Return where a job of another service stands."""
    return JobState(job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_"))


def progress_to_proto(progress: Json) -> job_pb2.JobProgress:
    """Return progress; what was never reported is empty or 0."""
    return job_pb2.JobProgress(
        phase=progress.get("phase", ""),
        num_done=progress.get("done", 0),
        num_total=progress.get("total", 0),
        unit=progress.get("unit", ""),
        message=progress.get("message", ""),
    )


def event_to_proto(event: JobEvent) -> job_pb2.JobEvent:
    """Return the event; its numbers become doubles, exact up to 2^53, and progress is named as in `JobProgress`."""
    names = _PROGRESS_NAMES if event.type == PROGRESS_EVENT else {}
    payload = {names.get(name, name): value for name, value in event.payload.items()}
    return job_pb2.JobEvent(
        job_id=event.job_id,
        sequence=event.sequence,
        event_time=timestamp(event.time),
        type=event.type,
        payload=ParseDict(payload, Struct()),
    )


convert_by(job_pb2.Job, job_to_proto)
