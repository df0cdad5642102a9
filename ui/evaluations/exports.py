"""Exporting evaluations as files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from drillyard.evaluator.v1.evaluation_pb2 import GetEvaluationRequest
from drillyard.evaluator.v1.export_pb2 import ExportEvaluationRequest, ExportFact, ExportFormat
from drillyard.registry.v1.model_pb2 import GetModelVersionRequest
from drillyard.trainer.v1.training_job_pb2 import GetTrainingJobRequest

from services.chassis.errors import InvalidArgument, NotFound
from ui.gateway.clients import Clients
from ui.training_jobs.views import training_job_view

_PREFIX = "EXPORT_FORMAT_"
EXPORT_FORMATS = tuple(name.removeprefix(_PREFIX).lower() for name, number in ExportFormat.items() if number)
"""Forms of an export, such as "json"."""


@dataclass(frozen=True)
class Export:
    """A file whose bytes come as they are read; `file_name` holds nothing but letters, digits, dots and dashes."""

    file_name: str
    media_type: str
    chunks: AsyncIterator[bytes]


async def export_evaluation(
    clients: Clients, evaluation_id: str, form: str, before_id: str = "", facts: Sequence[ExportFact] = ()
) -> Export:
    """Begin to read an evaluation as a file of the form "json", "csv", "inspect" or "html".

    `facts` are printed with a page's provenance, before those of the training.

    Raises:
        InvalidArgument: There is no such form.
        NotFound: There is no such evaluation.
    """
    if form not in EXPORT_FORMATS:
        raise InvalidArgument(f"There is no export format {form!r}.", f"Take one of {', '.join(EXPORT_FORMATS)}.")
    stream: Any = clients.evaluator.ExportEvaluation(
        ExportEvaluationRequest(
            evaluation_id=evaluation_id,
            format=ExportFormat.Value(_PREFIX + form.upper()),
            before_evaluation_id=before_id,
            facts=[*facts, *await _training_facts(clients, evaluation_id)] if form == "html" else (),
        )
    )
    first = await anext(aiter(stream))
    name = re.sub(r"[^A-Za-z0-9._-]", "-", first.file_name) or f"evaluation.{form}"
    return Export(name, first.media_type or "application/octet-stream", _chunks(stream, first.chunk))


async def _training_facts(clients: Clients, evaluation_id: str) -> list[ExportFact]:
    """Return how the evaluated version was trained; nothing when it was not, or when that is not known any more."""
    try:
        evaluation = (
            await clients.evaluator.GetEvaluation(GetEvaluationRequest(evaluation_id=evaluation_id))
        ).evaluation
        request = GetModelVersionRequest(model_version_id=evaluation.model_version_id)
        made_by = (await clients.registry.GetModelVersion(request)).model_version.produced_by
        kind, _, job_id = made_by.partition(":")
        if kind != "training_job":
            return []
        response = await clients.trainer.GetTrainingJob(GetTrainingJobRequest(training_job_id=job_id))
    except (NotFound, InvalidArgument):
        return []
    view = training_job_view(response.training_job)
    facts = (("training job", view.training_job_id), ("dataset", view.dataset_version_id), *view.settings)
    return [ExportFact(group="Training", name=name, value=value) for name, value in facts]


async def _chunks(stream: Any, first: bytes) -> AsyncIterator[bytes]:
    try:
        yield first
        async for response in stream:
            yield response.chunk
    finally:
        await stream.aclose()
