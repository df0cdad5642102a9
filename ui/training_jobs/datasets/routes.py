"""REST routes of datasets and their rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from drillyard.registry.v1 import dataset_pb2
from fastapi import Body, Depends, Query
from fastapi.responses import StreamingResponse

from ui.gateway.clients import Clients
from ui.gateway.uploads import Uploads, uploads_of
from ui.shared.dependants import deleting
from ui.shared.documents import ClientsOf, Document, document
from ui.shared.rpc import RpcRouter
from ui.shared.schemas import shows

Content = Annotated[bytes, Body(media_type="application/jsonl", description="JSONL, one example a line.")]
# Reading a large file whole, or writing it anew, takes its time.
_WHOLE_SECONDS = 120.0
_PAGE_SIZE = 500

router = RpcRouter(tags=["datasets"])
router.rpc("GET /datasets", "registry.ListDatasetVersions", "List dataset versions, newest first.")


@router.post("/datasets", responses=shows(dataset_pb2.CreateDatasetVersionResponse))
async def create_dataset(
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    dataset_id: Annotated[str, Query(description="The dataset that gets the version.", examples=["mine"])],
    content: Content,
    request_id: Annotated[str, Query(max_length=200)] = "",
) -> Document:
    """Register a dataset version; a line that is not an example is refused with its number."""
    request = dataset_pb2.CreateDatasetVersionRequest(
        request_id=request_id, dataset_id=dataset_id, artifact=await uploads.keep(content), produced_by="upload"
    )
    return document(await clients.registry.CreateDatasetVersion(request))


@router.post("/datasets/validate", responses=shows(dataset_pb2.ValidateDatasetResponse))
async def validate_dataset(
    clients: ClientsOf, uploads: Annotated[Uploads, Depends(uploads_of)], content: Content
) -> Document:
    """Say which lines of a file are no rows, at most 20 of them; nothing is registered."""
    request = dataset_pb2.ValidateDatasetRequest(artifact=await uploads.keep(content))
    return document(await clients.registry.ValidateDataset(request, timeout=_WHOLE_SECONDS))


@router.get("/datasets/{dataset_version_id:path}/export", response_class=StreamingResponse)
async def export_dataset(clients: ClientsOf, dataset_version_id: str) -> StreamingResponse:
    """Stream a dataset version as JSONL, one row a line."""
    request = dataset_pb2.GetDatasetVersionRequest(dataset_version_id=dataset_version_id)
    name = (await clients.registry.GetDatasetVersion(request)).dataset_version.dataset_version_id
    headers = {"Content-Disposition": f'attachment; filename="{name.replace("/", "-").replace("@", "-")}.jsonl"'}
    return StreamingResponse(_lines(clients, name), media_type="application/jsonl", headers=headers)


async def _lines(clients: Clients, dataset_version_id: str) -> AsyncIterator[str]:
    request = dataset_pb2.ListDatasetRowsRequest(dataset_version_id=dataset_version_id, page_size=_PAGE_SIZE)
    while True:
        page = await clients.registry.ListDatasetRows(request)
        yield "".join(f"{row.document}\n" for row in page.dataset_rows)
        request.page_token = page.next_page_token
        if not request.page_token:
            return


router.rpc(
    "GET /datasets/{dataset_version_id:path}/rows",
    "registry.ListDatasetRows",
    "List the rows of a dataset version in their order.",
    timeout=_WHOLE_SECONDS,
)
router.rpc(
    "GET /datasets/{dataset_version_id:path}/mix",
    "registry.GetDatasetMix",
    "Say what a dataset version is made of: rows and characters by split, reason, cause, tool and kind of task.",
    timeout=_WHOLE_SECONDS,
)
router.rpc(
    "POST /datasets/{dataset_version_id:path}/revise",
    "registry.ReviseDatasetVersion",
    "Register a version that is this one with rows dropped or edited.",
    timeout=_WHOLE_SECONDS,
)
router.rpc(
    "DELETE /datasets/{dataset_version_id:path}",
    "registry.DeleteDatasetVersion",
    "Delete one dataset version; refused while a training job or a loop refers to it.",
    action=deleting(lambda clients: clients.registry.DeleteDatasetVersion),
)
router.rpc(
    "GET /datasets/{dataset_version_id:path}",
    "registry.GetDatasetVersion",
    "Return one dataset version; a dataset's id alone gives its newest.",
)
