"""`/v1/files`: the registry's dataset versions, and results of jobs, as OpenAI's files."""

from __future__ import annotations

import secrets
from pathlib import PurePosixPath
from typing import Annotated, Literal

from drillyard.registry.v1 import dataset_pb2 as pb
from drillyard.registry.v1.dataset_file_pb2 import DATASET_FILE_FORM_MESSAGES
from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from fastapi.responses import PlainTextResponse, Response

from services.chassis.errors import InvalidArgument, NotFound
from ui.gateway.clients import Clients, every
from ui.gateway.uploads import Uploads, uploads_of
from ui.openai.errors import ERROR_RESPONSES, OpenAIError
from ui.openai.fine_tuning.paging import FineTuningRoute, page_of
from ui.openai.fine_tuning.results import job_of_file, results_document, results_text
from ui.shared.dependants import deleting
from ui.shared.documents import ClientsOf, Document
from ui.training_jobs.datasets.routes import WHOLE_SECONDS, exported

router = APIRouter(tags=["OpenAI"], route_class=FineTuningRoute, responses=ERROR_RESPONSES)
PURPOSE = "fine-tune"
_OWN = "file-"
_MADE_OF = "upload of "
_MAX_NAME, _MAX_FILES, _ID_BYTES = 150, 10_000, 12
_FIELDS = ("file", "purpose")


@router.post("/files")
async def create_file(
    request: Request,
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    file: Annotated[UploadFile, File(description="JSON lines: conversations, preferences, or cases to be graded.")],
    purpose: Annotated[str, Form(description="Only `fine-tune`.")],
) -> Document:
    """Register a file as a dataset version; lines that cannot be used are named."""
    unknown = next((name for name in await request.form() if name not in _FIELDS), None)
    if unknown is not None:
        raise OpenAIError(f"Unknown parameter: {unknown[:80]!a}.", param=unknown[:80], code="unknown_parameter")
    if purpose != PURPOSE:
        problem = f"Files of the purpose {purpose[:40]!a} have no use here, only of fine-tune."
        raise OpenAIError(problem, param="purpose", code="invalid_value")
    artifact = await uploads.keep(await file.read())
    name = "".join(filter(str.isprintable, PurePosixPath(file.filename or "").name))[:_MAX_NAME]
    draft = pb.CreateDatasetVersionRequest(
        dataset_id=f"{_OWN}{secrets.token_hex(_ID_BYTES)}",
        artifact=artifact,
        produced_by=f"{_MADE_OF}{name or 'a file'}",
    )
    try:
        response = await clients.registry.CreateDatasetVersion(draft, timeout=WHOLE_SECONDS)
    except InvalidArgument as error:
        raise await _wrong_lines(clients, draft, error) from None
    return _document(response.dataset_version)


@router.get("/files")
async def list_files(
    clients: ClientsOf,
    after: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=_MAX_FILES)] = _MAX_FILES,
    order: Literal["asc", "desc"] = "desc",
    purpose: str = PURPOSE,
) -> Document:
    """List dataset versions as files."""
    request = pb.ListDatasetVersionsRequest()
    found = await every(clients.registry.ListDatasetVersions, request, "dataset_versions", _MAX_FILES)
    files = [_document(version) for version in found if purpose == PURPOSE]
    return page_of(files[:: 1 if order == "desc" else -1], after, limit)


@router.get("/files/{file_id:path}/content", response_class=Response)
async def get_file_content(clients: ClientsOf, file_id: str) -> Response:
    """Return the lines of a file in OpenAI's form, or what a job measured, as CSV."""
    if job_id := job_of_file(file_id):
        return PlainTextResponse(await results_text(clients, job_id), media_type="text/csv")
    version = await file_version(clients, file_id)
    return await exported(clients, version.dataset_version_id, DATASET_FILE_FORM_MESSAGES)


@router.get("/files/{file_id:path}")
async def get_file(clients: ClientsOf, file_id: str) -> Document:
    """Return one file."""
    if job_id := job_of_file(file_id):
        return await results_document(clients, job_id)
    return _document(await file_version(clients, file_id))


@router.delete("/files/{file_id:path}")
async def delete_file(clients: ClientsOf, file_id: str) -> Document:
    """Delete one dataset version; refused while a training job or a loop refers to it."""
    version = await file_version(clients, file_id)
    delete = deleting(lambda clients: clients.registry.DeleteDatasetVersion)
    await delete(clients, pb.DeleteDatasetVersionRequest(dataset_version_id=version.dataset_version_id))
    return {"id": file_id, "object": "file", "deleted": True}


async def file_version(clients: Clients, file_id: str, param: str = "file_id") -> pb.DatasetVersion:
    """Return the dataset version that a file's id names; any other version's id does too.

    Raises:
        OpenAIError: There is none.
    """
    own = file_id.startswith(_OWN) and "@" not in file_id
    request = pb.GetDatasetVersionRequest(dataset_version_id=f"{file_id}@1" if own else file_id)
    try:
        return (await clients.registry.GetDatasetVersion(request)).dataset_version
    except (NotFound, InvalidArgument):
        status = 404 if param == "file_id" else 400
        problem = f"No such file: {file_id[:200]!a}."
        raise OpenAIError(problem, status=status, param=param, code="file_not_found") from None


def id_of_file(dataset_version_id: str) -> str:
    """Return the id of a dataset version as a file; that of an upload names no version, since it is the only one."""
    own = dataset_version_id.startswith(_OWN) and dataset_version_id.endswith("@1")
    return dataset_version_id.removesuffix("@1") if own else dataset_version_id


def _document(version: pb.DatasetVersion) -> Document:
    name = version.produced_by.removeprefix(_MADE_OF) if version.produced_by.startswith(_MADE_OF) else ""
    return {
        "id": id_of_file(version.dataset_version_id),
        "object": "file",
        "bytes": version.artifact.size_bytes,
        "created_at": version.create_time.seconds,
        "filename": name or f"{version.dataset_version_id.replace('/', '-')}.jsonl",
        "purpose": PURPOSE,
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }


async def _wrong_lines(clients: Clients, draft: pb.CreateDatasetVersionRequest, error: InvalidArgument) -> OpenAIError:
    """Return the error that names the lines, at most 20, that are wrong."""
    request = pb.ValidateDatasetRequest(artifact=draft.artifact)
    found = await clients.registry.ValidateDataset(request, timeout=WHOLE_SECONDS)
    problems = [fault.problem for fault in found.faults]
    if more := found.num_faults - len(problems):
        problems.append(f"{more} more are wrong as well.")
    return OpenAIError(" ".join(problems) or str(error), param="file", code="invalid_jsonl")
