"""REST routes of datasets and their rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from drillyard.registry.v1 import dataset_pb2
from drillyard.registry.v1.dataset_file_pb2 import (
    DATASET_FILE_FORM_PARQUET,
    DatasetFileForm,
    DatasetFormat,
    DatasetSource,
    ExportDatasetVersionRequest,
)
from fastapi import Body, Depends, Query
from fastapi.responses import StreamingResponse

from ui.gateway.clients import Clients
from ui.gateway.uploads import Uploads, uploads_of
from ui.shared.dependants import deleting
from ui.shared.documents import ClientsOf, Document, document
from ui.shared.rpc import RpcRouter
from ui.shared.schemas import shows

Content = Annotated[
    bytes,
    Body(
        media_type="application/jsonl",
        description="JSON lines, one JSON array or Parquet: rows, or `messages`, `conversations` or preference pairs.",
    ),
]
_MEDIA_TYPES = {"jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
# Reading a large file whole, or writing it anew, takes its time.
WHOLE_SECONDS = 140.0

router = RpcRouter(tags=["datasets"])
router.rpc("GET /datasets", "registry.ListDatasetVersions", "List dataset versions, newest first.")


@dataclass(frozen=True)
class Source:
    """How an uploaded file becomes rows."""

    row_format: Annotated[
        Literal["", "rows", "messages", "conversations", "preferences"],
        Query(alias="format", description="What its rows are; by default told by the first."),
    ] = ""
    validation_share: Annotated[float, Query(ge=0, le=1, description="Share of rows without a split to validate.")] = 0
    profile_id: Annotated[str, Query(max_length=100, description="Protocol of rows with a case that name none.")] = ""
    skips_wrong_rows: Annotated[bool, Query(description="Leave out what cannot become a row.")] = False

    def message(self) -> DatasetSource:
        """Return it in the form of the wire."""
        return DatasetSource(
            format=DatasetFormat.Value(f"DATASET_FORMAT_{self.row_format.upper() or 'UNSPECIFIED'}"),
            validation_share=self.validation_share,
            profile_id=self.profile_id,
            skips_wrong_rows=self.skips_wrong_rows,
        )


@router.post("/datasets", responses=shows(dataset_pb2.CreateDatasetVersionResponse))
async def create_dataset(
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    dataset_id: Annotated[str, Query(description="The dataset that gets the version.", examples=["mine"])],
    content: Content,
    source: Annotated[Source, Depends()],
    request_id: Annotated[str, Query(max_length=200)] = "",
) -> Document:
    """Register a file as a dataset version; a row that cannot be used is refused with its number."""
    request = dataset_pb2.CreateDatasetVersionRequest(
        request_id=request_id, dataset_id=dataset_id, artifact=await uploads.keep(content), source=source.message()
    )
    request.produced_by = "upload"
    return document(await clients.registry.CreateDatasetVersion(request, timeout=WHOLE_SECONDS))


@router.post("/datasets/validate", responses=shows(dataset_pb2.ValidateDatasetResponse))
async def validate_dataset(
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    content: Content,
    source: Annotated[Source, Depends()],
) -> Document:
    """Say which rows of a file cannot be used, at most 20 of them; nothing is registered."""
    request = dataset_pb2.ValidateDatasetRequest(artifact=await uploads.keep(content), source=source.message())
    return document(await clients.registry.ValidateDataset(request, timeout=WHOLE_SECONDS))


router.rpc(
    "POST /dataset-imports",
    "registry.CreateDatasetImport",
    "Start to register a file of any size that was sent in parts: its `artifact` is what finishing the upload returns.",
)
router.rpc("GET /dataset-imports", "registry.ListDatasetImports", "List imports of datasets, newest first.")
router.rpc(
    "GET /dataset-imports/{dataset_import_id}",
    "registry.GetDatasetImport",
    "Return one import of a dataset: how far it is, the version that it registered, or which row is wrong.",
)
router.rpc(
    "POST /dataset-imports/{dataset_import_id}/cancel", "registry.CancelDatasetImport", "Cancel an import of a dataset."
)
router.events(
    "/dataset-imports/{dataset_import_id}/events",
    "registry.WatchDatasetImport",
    "registry.GetDatasetImport",
    "Stream the events of an import of a dataset.",
)
router.rpc(
    "POST /datasets/validate-upload",
    "registry.ValidateDataset",
    "Say which rows of a file that was sent in parts cannot be used; nothing is registered.",
    timeout=WHOLE_SECONDS,
)


@router.get("/datasets/{dataset_version_id:path}/export", response_class=StreamingResponse)
async def export_dataset(
    clients: ClientsOf,
    dataset_version_id: str,
    form: Annotated[
        Literal["rows", "messages", "parquet"],
        Query(description="`rows` as they are, `messages` in OpenAI's form, or `parquet`."),
    ] = "rows",
) -> StreamingResponse:
    """Stream a dataset version as a file."""
    request = dataset_pb2.GetDatasetVersionRequest(dataset_version_id=dataset_version_id)
    name = (await clients.registry.GetDatasetVersion(request)).dataset_version.dataset_version_id
    return await exported(clients, name, DatasetFileForm.Value(f"DATASET_FILE_FORM_{form.upper()}"))


async def exported(clients: Clients, name: str, form: DatasetFileForm.ValueType) -> StreamingResponse:
    """Return the response that streams a dataset version in a form."""
    ending = "parquet" if form == DATASET_FILE_FORM_PARQUET else "jsonl"
    file_name = f"{name.replace('/', '-').replace('@', '-')}.{ending}"
    written = ExportDatasetVersionRequest(dataset_version_id=name, form=form)
    stream: Any = aiter(clients.registry.ExportDatasetVersion(written))
    # A refusal comes in place of the first bytes, and must be told as one.
    first = await anext(stream)
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
    return StreamingResponse(_chunks(first.chunk, stream), media_type=_MEDIA_TYPES[ending], headers=headers)


async def _chunks(first: bytes, stream: Any) -> AsyncIterator[bytes]:
    async with aclosing(stream):
        yield first
        async for response in stream:
            yield response.chunk


router.rpc(
    "GET /datasets/{dataset_version_id:path}/rows",
    "registry.ListDatasetRows",
    "List the rows of a dataset version in their order.",
    timeout=WHOLE_SECONDS,
)
router.rpc(
    "GET /datasets/{dataset_version_id:path}/mix",
    "registry.GetDatasetMix",
    "Say what a dataset version is made of: rows and characters by split, reason, cause, tool and kind of task.",
    timeout=WHOLE_SECONDS,
)
router.rpc(
    "POST /datasets/{dataset_version_id:path}/revise",
    "registry.ReviseDatasetVersion",
    "Register a version that is this one with rows dropped or edited.",
    timeout=WHOLE_SECONDS,
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
