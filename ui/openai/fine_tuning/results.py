"""What a job measured, as OpenAI's results file: made from the job's curves whenever it is asked for."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from typing import Any

from drillyard.job.v1.job_pb2 import JOB_STATE_SUCCEEDED
from drillyard.trainer.v1.checkpoint_pb2 import CurvePoint, ListCurvePointsRequest
from drillyard.trainer.v1.training_job_pb2 import GetTrainingJobRequest, TrainingJob

from ui.gateway.clients import Clients, every
from ui.openai.errors import OpenAIError
from ui.shared.documents import Document

_RESULTS = "results-"
_MAX_POINTS = 1_000_000
_OPENAI_NAMES = {"loss": "train_loss", "validation_loss": "valid_loss"}


def name_of_metric(metric: str) -> str:
    """Return OpenAI's name of what is measured, or ours where it has none."""
    return _OPENAI_NAMES.get(metric, metric)


def result_files(job: TrainingJob) -> list[str]:
    """Return the ids of the files with a job's results."""
    return [f"{_RESULTS}{job.training_job_id}"] if job.job.state == JOB_STATE_SUCCEEDED else []


def job_of_file(file_id: str) -> str:
    """Return the job whose results a file has; empty for other files, such as a dataset's version of that name."""
    return file_id.removeprefix(_RESULTS) if file_id.startswith(_RESULTS) and "@" not in file_id else ""


async def curves_of(clients: Clients, job_id: str, metric: str = "") -> dict[int, dict[str, float]]:
    """Return what was measured by step; of a step that two attempts measured, the later one counts."""
    request = ListCurvePointsRequest(training_job_id=job_id, metric=metric)
    points: list[CurvePoint] = await every(clients.trainer.ListCurvePoints, request, "curve_points", _MAX_POINTS)
    steps: dict[int, dict[str, float]] = defaultdict(dict)
    for point in sorted(points, key=lambda point: (point.step, point.attempt)):
        steps[point.step][name_of_metric(point.metric)] = point.value
    return dict(steps)


async def results_text(clients: Clients, job_id: str) -> str:
    """Return a job's results as CSV, a row per step.

    Raises:
        NotFound: There is no such job.
        OpenAIError: It has none yet.
    """
    return _csv(await curves_of(clients, (await _finished(clients, job_id)).training_job_id))


async def results_document(clients: Clients, job_id: str) -> Document:
    """Return the file of a job's results.

    Raises:
        NotFound: There is no such job.
        OpenAIError: It has none yet.
    """
    job = await _finished(clients, job_id)
    return {
        "id": f"{_RESULTS}{job_id}",
        "object": "file",
        "bytes": len(_csv(await curves_of(clients, job_id))),
        "created_at": job.job.end_time.seconds,
        "filename": "step_metrics.csv",
        "purpose": "fine-tune-results",
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }


async def _finished(clients: Clients, job_id: str) -> TrainingJob:
    response: Any = await clients.trainer.GetTrainingJob(GetTrainingJobRequest(training_job_id=job_id))
    job: TrainingJob = response.training_job
    if not result_files(job):
        problem = f"The job {job_id} has no results, since it has not succeeded."
        raise OpenAIError(problem, status=404, param="file_id", code="file_not_found")
    return job


def _csv(steps: dict[int, dict[str, float]]) -> str:
    metrics = sorted({metric for values in steps.values() for metric in values})
    text = io.StringIO()
    writer = csv.DictWriter(text, ["step", *metrics], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"step": step, **values} for step, values in sorted(steps.items()))
    return text.getvalue()
