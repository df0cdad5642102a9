"""Jobs, events and checkpoints in OpenAI's form."""

from __future__ import annotations

from collections.abc import Mapping

from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1.checkpoint_pb2 import Checkpoint
from drillyard.trainer.v1.training_job_pb2 import TrainingJob, WatchTrainingJobResponse

from ui.openai.fine_tuning.files import id_of_file
from ui.openai.fine_tuning.results import name_of_metric, result_files
from ui.openai.fine_tuning.specs import hyperparameters_document, method_document, suffix_of
from ui.shared.documents import Document
from ui.shared.jobs import job_view
from ui.shared.words import phase_text

_READS_ROWS = "check_rows"
# What is saved first, or winds up, still runs.
_STATUS = {"pausing": "running", "cancelling": "running"}
_ORGANIZATION = "drillyard"
_KIND = "training_job"


def job_document(job: TrainingJob, num_tokens: int) -> Document:
    """Return a job; `num_tokens` were computed in its steps."""
    spec, facts = job.spec, job.job
    is_supervised = (method := method_document(spec))["type"] == "supervised"
    has_ended = bool(job.model_version_id)
    return {
        "id": job.training_job_id,
        "object": "fine_tuning.job",
        "created_at": facts.create_time.seconds,
        "finished_at": facts.end_time.seconds or None,
        "model": spec.model_version_id,
        "fine_tuned_model": job.model_version_id or None,
        "organization_id": _ORGANIZATION,
        "status": _status(job.job),
        "training_file": id_of_file(spec.dataset_version_id),
        "validation_file": id_of_file(spec.validation_dataset_version_id) or None,
        "result_files": result_files(job),
        "trained_tokens": num_tokens if has_ended else None,
        "error": _error(job.job),
        "hyperparameters": hyperparameters_document(spec) if is_supervised else {},
        "method": method,
        "seed": spec.seed,
        "estimated_finish": None,
        "integrations": [],
        "metadata": None,
        "user_provided_suffix": suffix_of(spec),
    }


def _status(job: job_pb2.Job) -> str:
    state = job_view(job).state
    if state == "running" and job.progress.phase == _READS_ROWS:
        return "validating_files"
    return _STATUS.get(state, state)


def _error(job: job_pb2.Job) -> Document | None:
    if job.state != job_pb2.JOB_STATE_FAILED:
        return None
    is_of_file = job.progress.phase == _READS_ROWS
    return {
        "code": "invalid_training_file" if is_of_file else job.error.code.lower(),
        "message": f"{job.error.problem} {job.error.next_step}".strip(),
        "param": "training_file" if is_of_file else None,
    }


def event_id(job_id: str, sequence: int) -> str:
    """Return the id of an event of a job."""
    return f"ftevent-{job_id}-{sequence}"


def event_document(job_id: str, response: WatchTrainingJobResponse) -> Document:
    """Return what has happened to a job."""
    event = response.event
    level, message, data = _told(response)
    return {
        "id": event_id(job_id, event.sequence),
        "object": "fine_tuning.job.event",
        "created_at": event.event_time.seconds,
        "level": level,
        "message": message,
        "type": "metrics" if response.HasField("point") else "message",
        "data": data,
    }


def _told(response: WatchTrainingJobResponse) -> tuple[str, str, Document]:
    event = response.event
    if response.HasField("point"):
        name, value = name_of_metric(response.point.metric), response.point.value
        step = response.point.step
        return "info", f"Step {step}: {name}={value:.6g}", {"step": step, name: value}
    if response.HasField("checkpoint"):
        step = response.checkpoint.step
        return "info", f"A checkpoint was saved at step {step}.", {"step": step}
    if response.HasField("attempt_end"):
        reason = response.attempt_end.reason
        return ("warn" if reason else "info"), reason or "The attempt has ended.", {}
    if event.HasField("state"):
        return _state_told(event.state)
    if event.HasField("progress"):
        progress = event.progress
        units = f" {progress.num_done} of {progress.num_total} {progress.unit}" if progress.num_total else ""
        return "info", f"{phase_text(_KIND, progress.phase).capitalize()}{units}", {"phase": progress.phase}
    return "info", event.message.text or f"The job's {event.type} is told.", {}


def _state_told(change: job_pb2.StateChange) -> tuple[str, str, Document]:
    state = job_pb2.JobState.Name(change.state).removeprefix("JOB_STATE_").lower()
    if change.state == job_pb2.JOB_STATE_FAILED:
        return "error", f"The job has failed: {change.error.problem}", {"code": change.error.code.lower()}
    return "info", change.pause_declined or f"The job is {state}.", {}


def checkpoint_document(
    job: TrainingJob, checkpoint: Checkpoint, curves: Mapping[int, Mapping[str, float]]
) -> Document:
    """Return a checkpoint; it has the name of a model where it is the one that was registered."""
    is_result = bool(job.model_version_id) and checkpoint.step == job.job.progress.num_done
    return {
        "id": f"ftckpt-{job.training_job_id}-{checkpoint.step}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": checkpoint.create_time.seconds,
        "fine_tuning_job_id": job.training_job_id,
        "fine_tuned_model_checkpoint": job.model_version_id if is_result else None,
        "step_number": checkpoint.step,
        "metrics": {"step": checkpoint.step, **curves.get(checkpoint.step, {})},
    }
