"""REST routes of models, model versions and imports."""

from __future__ import annotations

from typing import Annotated

from drillyard.registry.v1 import import_pb2, model_pb2
from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sse_starlette import EventSourceResponse

from ui.shared.documents import ClientsOf, CreateBody, Document, Page, document, message_of
from ui.shared.events import EVENT_STREAM, AfterSequence, EventStreams, LastEventId, start_after, streams_of
from ui.shared.schemas import shows

router = APIRouter(tags=["models"])


class SourceBody(CreateBody):
    """What to import; exactly one of the four places."""

    model_id: str = Field(description="The model that gets the version.", examples=["smollm2-135m-instruct"])
    gguf_path: str | None = Field(
        default=None, description="A GGUF file on this machine, absolute.", examples=["/models/smollm2.gguf"]
    )
    folder_path: str | None = Field(default=None, description="A Hugging Face folder on this machine, absolute.")
    hub_id: str | None = Field(default=None, description="An id on the Hugging Face hub. Not built yet.")
    ollama_tag: str | None = Field(default=None, description="An Ollama tag. Not built yet.")


@router.get("/models", responses=shows(model_pb2.ListModelsResponse))
async def list_models(clients: ClientsOf, page: Page) -> Document:
    """List models by id."""
    return document(await clients.registry.ListModels(model_pb2.ListModelsRequest(**page)))


@router.get("/models/{model_id}", responses=shows(model_pb2.GetModelResponse))
async def get_model(clients: ClientsOf, model_id: str) -> Document:
    """Return one model."""
    return document(await clients.registry.GetModel(model_pb2.GetModelRequest(model_id=model_id)))


@router.get("/model-versions", responses=shows(model_pb2.ListModelVersionsResponse))
async def list_model_versions(
    clients: ClientsOf, page: Page, model_id: Annotated[str, Query(description="Only versions of this model.")] = ""
) -> Document:
    """List model versions, newest first."""
    request = model_pb2.ListModelVersionsRequest(model_id=model_id, **page)
    return document(await clients.registry.ListModelVersions(request))


@router.get("/model-versions/{model_version_id}", responses=shows(model_pb2.GetModelVersionResponse))
async def get_model_version(clients: ClientsOf, model_version_id: str) -> Document:
    """Return one model version; a model's id alone gives its newest."""
    request = model_pb2.GetModelVersionRequest(model_version_id=model_version_id)
    return document(await clients.registry.GetModelVersion(request))


@router.post("/imports", responses=shows(import_pb2.CreateImportResponse))
async def create_import(clients: ClientsOf, body: SourceBody) -> Document:
    """Start to import a model from a file or folder on this machine."""
    given = body.model_dump(exclude_none=True)
    places = ("gguf_path", "folder_path", "hub_id", "ollama_tag")
    source = {place: given.pop(place) for place in places if place in given}
    request = message_of(import_pb2.CreateImportRequest, {**given, "source": source})
    return document(await clients.registry.CreateImport(request))


@router.get("/imports", responses=shows(import_pb2.ListImportsResponse))
async def list_imports(clients: ClientsOf, page: Page) -> Document:
    """List imports, newest first."""
    return document(await clients.registry.ListImports(import_pb2.ListImportsRequest(**page)))


@router.get("/imports/{import_id}", responses=shows(import_pb2.GetImportResponse))
async def get_import(clients: ClientsOf, import_id: str) -> Document:
    """Return one import."""
    return document(await clients.registry.GetImport(import_pb2.GetImportRequest(import_id=import_id)))


@router.post("/imports/{import_id}/cancel", responses=shows(import_pb2.CancelImportResponse))
async def cancel_import(clients: ClientsOf, import_id: str) -> Document:
    """Cancel an import; nothing of it becomes visible."""
    return document(await clients.registry.CancelImport(import_pb2.CancelImportRequest(import_id=import_id)))


@router.get("/imports/{import_id}/events", response_class=EventSourceResponse, responses=EVENT_STREAM)
async def watch_import(
    clients: ClientsOf,
    streams: Annotated[EventStreams, Depends(streams_of)],
    import_id: str,
    after_sequence: AfterSequence = 0,
    last_event_id: LastEventId = "",
) -> EventSourceResponse:
    """Stream the events of an import."""
    await clients.registry.GetImport(import_pb2.GetImportRequest(import_id=import_id))
    return streams.respond(
        lambda after: clients.registry.WatchImport(
            import_pb2.WatchImportRequest(import_id=import_id, after_sequence=after)
        ),
        start_after(after_sequence, last_event_id),
    )
