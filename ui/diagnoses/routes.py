"""REST routes of diagnoses."""

from __future__ import annotations

from drillyard.test_runner.v1 import diagnosis_pb2
from fastapi import APIRouter
from pydantic import Field

from ui.diagnoses.actions import diagnose
from ui.shared.documents import Body, ClientsOf, Document, document, message_of
from ui.shared.schemas import shows
from ui.test_runs.routes import EndpointBody

router = APIRouter(tags=["diagnoses"])


class DiagnosisBody(Body):
    """What the model is to carry, and the server that it is compared with."""

    profile_id: str = Field(description="The protocol.", examples=["roo_xml"])
    prompt_size: str = Field(default="", description='"compact" or "full"; empty means "compact".')
    max_new_tokens: int = Field(default=0, description="Longest answer in tokens; 0 means 192.")
    endpoint: EndpointBody | None = Field(default=None, description="A live server of the model.")


@router.post("/models/{model_version_id}/diagnosis", responses=shows(diagnosis_pb2.DiagnoseModelResponse))
async def diagnose_model(clients: ClientsOf, model_version_id: str, body: DiagnosisBody) -> Document:
    """Check a model's chat template and settings against a protocol; a model's id alone gives its newest version."""
    given = {"model_version_id": model_version_id, **body.model_dump(exclude_none=True)}
    return document(await diagnose(clients, message_of(diagnosis_pb2.DiagnoseModelRequest, given)))
