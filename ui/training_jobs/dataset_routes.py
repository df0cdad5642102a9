"""REST routes of datasets."""

from __future__ import annotations

from typing import Annotated

from drillyard.registry.v1 import dataset_pb2
from fastapi import APIRouter, Body, Depends, Query

from ui.shared.documents import ClientsOf, Document, Page, document
from ui.shared.schemas import shows
from ui.shared.uploads import Uploads, uploads_of

router = APIRouter(tags=["datasets"])


@router.get("/datasets", responses=shows(dataset_pb2.ListDatasetVersionsResponse))
async def list_datasets(
    clients: ClientsOf, page: Page, dataset_id: Annotated[str, Query(description="Only versions of this dataset.")] = ""
) -> Document:
    """List dataset versions, newest first."""
    request = dataset_pb2.ListDatasetVersionsRequest(dataset_id=dataset_id, **page)
    return document(await clients.registry.ListDatasetVersions(request))


@router.post("/datasets", responses=shows(dataset_pb2.CreateDatasetVersionResponse))
async def create_dataset(
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    dataset_id: Annotated[str, Query(description="The dataset that gets the version.", examples=["mine"])],
    content: Annotated[bytes, Body(media_type="application/jsonl", description="JSONL, one example a line.")],
    request_id: Annotated[str, Query(max_length=200)] = "",
) -> Document:
    """Register a dataset version; a line that is not an example is refused with its number."""
    request = dataset_pb2.CreateDatasetVersionRequest(
        request_id=request_id, dataset_id=dataset_id, artifact=await uploads.keep(content), produced_by="upload"
    )
    return document(await clients.registry.CreateDatasetVersion(request))


@router.get("/datasets/{dataset_version_id:path}", responses=shows(dataset_pb2.GetDatasetVersionResponse))
async def get_dataset(clients: ClientsOf, dataset_version_id: str) -> Document:
    """Return one dataset version; a dataset's id alone gives its newest."""
    request = dataset_pb2.GetDatasetVersionRequest(dataset_version_id=dataset_version_id)
    return document(await clients.registry.GetDatasetVersion(request))
