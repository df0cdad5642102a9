"""REST routes of models, model versions and imports."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from ui.models.garbage import collect_versions
from ui.models.lineage import lineage_document, read_lineage
from ui.models.model_uploads import ModelUploads, UploadFile
from ui.shared.dependants import deleting
from ui.shared.documents import ClientsOf, Document
from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["models"])
router.rpc("GET /models", "registry.ListModels", "List models by id.")
router.rpc("GET /models/{model_id}", "registry.GetModel", "Return one model.")
router.rpc("GET /model-versions", "registry.ListModelVersions", "List model versions, newest first.")
router.rpc(
    "GET /model-versions/{model_version_id}",
    "registry.GetModelVersion",
    "Return one model version; a model's id alone gives its newest.",
)
router.rpc(
    "DELETE /model-versions/{model_version_id}",
    "registry.DeleteModelVersion",
    "Delete one model version; refused while a version, a run, a training job or a loop is made of it or refers to it.",
    action=deleting(lambda clients: clients.registry.DeleteModelVersion),
)


@router.get("/model-versions/{model_version_id}/lineage")
async def get_lineage(clients: ClientsOf, model_version_id: str) -> Document:
    """Return what a version was made from and what was made of it, with datasets and rates; a model's id its newest."""
    return lineage_document(await read_lineage(clients, model_version_id))


router.rpc(
    "POST /model-versions/garbage-collection",
    "storage.CollectGarbage",
    "Delete the versions that nothing names, or with `dry_run` only say which they are. What was imported stays, and "
    "of what was trained the newest version of each model.",
    action=collect_versions,
)
router.rpc(
    "POST /imports",
    "registry.CreateImport",
    "Start to import a model from a hub, a registry, an address, an upload, or a path of the registry's machine.",
)
router.rpc("GET /imports", "registry.ListImports", "List imports, newest first.")
router.rpc("GET /imports/{import_id}", "registry.GetImport", "Return one import.")
router.rpc(
    "POST /imports/{import_id}/cancel", "registry.CancelImport", "Cancel an import; nothing of it becomes visible."
)
router.events(
    "/imports/{import_id}/events", "registry.WatchImport", "registry.GetImport", "Stream the events of an import."
)


class FileBody(BaseModel):
    """A file that is going to be uploaded."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Where it lies in the model's folder.", max_length=500)
    size_bytes: int = Field(ge=0, description="Its size.")
    digest: str = Field(default="", description='"sha256:…" of its content; what comes is compared with it.')


class UploadBody(BaseModel):
    """The files of an upload."""

    model_config = ConfigDict(extra="forbid")

    files: list[FileBody] = Field(
        description="All of them: a GGUF model, or a folder in Hugging Face's or PEFT's form."
    )


def uploads_of(request: Request) -> ModelUploads:
    """Return the application's uploads of models."""
    uploads: ModelUploads = request.app.state.model_uploads
    return uploads


UploadsOf = Annotated[ModelUploads, Depends(uploads_of)]


@router.post("/uploads")
async def create_upload(uploads: UploadsOf, body: UploadBody) -> Document:
    """Begin to upload a model or a dataset in parts; it is imported by the artifact that finishing it returns."""
    files = [UploadFile(**file.model_dump()) for file in body.files]
    return await _upload(uploads, await uploads.create(files))


@router.get("/uploads/{upload_id}")
async def get_upload(uploads: UploadsOf, upload_id: str) -> Document:
    """Return how many bytes of each file have come, from where an upload goes on after a break."""
    return await _upload(uploads, upload_id)


@router.put("/uploads/{upload_id}/files/{name:path}")
async def append_to_upload(
    uploads: UploadsOf,
    upload_id: str,
    name: str,
    request: Request,
    offset: Annotated[int, Query(ge=0, description="How many bytes of the file have come.")] = 0,
) -> Document:
    """Add the body's bytes to a file; a body as large as other requests may have."""
    return {"received_bytes": await uploads.append(upload_id, name, offset, request.stream())}


@router.post("/uploads/{upload_id}/finish")
async def finish_upload(
    uploads: UploadsOf,
    upload_id: str,
    as_file: Annotated[bool, Query(description="It is one file, such as a dataset, and no model.")] = False,
) -> Document:
    """Check what has come, and return the artifact by which it is imported."""
    artifact = await uploads.finish(upload_id, as_file=as_file)
    return {"artifact": {"uri": artifact.uri, "digest": artifact.digest, "size_bytes": str(artifact.size_bytes)}}


@router.delete("/uploads/{upload_id}")
async def delete_upload(uploads: UploadsOf, upload_id: str) -> Document:
    """Forget an upload that is not finished."""
    await uploads.delete(upload_id)
    return {}


async def _upload(uploads: ModelUploads, upload_id: str) -> Document:
    received = await uploads.received(upload_id)
    files = [{"name": file.name, "size_bytes": file.size_bytes, "received_bytes": count} for file, count in received]
    return {"upload": {"upload_id": upload_id, "files": files}}
