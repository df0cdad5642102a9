"""OCI artifacts of models: each file is a layer whose title is its place, as ORAS writes them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from services.chassis.errors import AlreadyExists, InvalidArgument
from services.registry.oci.reference import OciReference, parse_reference
from services.registry.oci.repository import Repository
from services.registry.ports import Progress

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES = (IMAGE_MANIFEST, DOCKER_MANIFEST)
_TITLE = "org.opencontainers.image.title"
_UNPACK = "io.deis.oras.content.unpack"
_EMPTY, _EMPTY_TYPE = b"{}", "application/vnd.oci.empty.v1+json"
_ARTIFACT_TYPE = "application/vnd.drillyard.model"
_MEDIA_TYPES = {".json": "application/json", ".md": "text/markdown", ".jinja": "text/plain", ".txt": "text/plain"}
# Layers that are a GGUF without a title: of Docker's model runner and of Ollama.
_GGUF_TYPES = ("application/vnd.docker.ai.gguf.v3", "application/vnd.ollama.image.model")
_PATH = re.compile(r"(?!\.)\w[\w. +=@-]{0,200}(?:/(?!\.)\w[\w. +=@-]{0,200}){0,3}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_LAYERS = 2048


@dataclass(frozen=True)
class OciFile:
    """A file of an artifact, whose name is its place in the folder."""

    name: str
    media_type: str
    digest: str
    size: int


async def push_artifact(
    source: Path,
    reference: str,
    *,
    client: httpx2.AsyncClient,
    secret: str = "",
    replace: bool = False,
    progress: Progress,
) -> OciReference:
    """Push a file, or all files of a folder, as an artifact: blobs first, the manifest last; progress is in bytes.

    Args:
        source: A regular file or a folder of them.
        reference: `host/repository:tag`.
        client: Sends the requests.
        secret: `user:password`, a token, or empty.
        replace: Whether an artifact with that tag gives way.
        progress: Is told the bytes that the registry has.

    Raises:
        AlreadyExists: The registry has another artifact with that tag, and `replace` is false.
        PermissionDenied: The registry does not let this caller write.
        Unavailable: The registry does not answer.
    """
    place = parse_reference(reference)
    if not place.is_tag:
        raise InvalidArgument("An artifact is pushed under a tag, not a digest.", "Write host/repository:tag.")
    repository = Repository(client, place.url, secret)
    files = await asyncio.to_thread(_files_of, source)
    content = _manifest_of(list(files))
    existing = await repository.manifest(place.version, MANIFEST_TYPES)
    if existing and existing.content != content and not replace:
        raise AlreadyExists(f"The registry has {place} already.", "Choose another tag, or ask to replace it.")
    await repository.put_blobs([(path, file) for file, path in files.items()], progress)
    await repository.put_bytes(_EMPTY, digest_of(_EMPTY))
    await repository.put_manifest(place.version, content, IMAGE_MANIFEST)
    return place


def _files_of(source: Path) -> dict[OciFile, Path]:
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    files = {}
    for path in paths:
        name = path.name if path == source else path.relative_to(source).as_posix()
        with path.open("rb") as stream:
            digest = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        media_type = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        files[OciFile(name, media_type, digest, path.stat().st_size)] = path
    return files


def _manifest_of(files: Sequence[OciFile]) -> bytes:
    config = {"mediaType": _EMPTY_TYPE, "digest": digest_of(_EMPTY), "size": len(_EMPTY)}
    layers = [
        {
            "mediaType": file.media_type,
            "digest": file.digest,
            "size": file.size,
            "annotations": {_TITLE: file.name},
        }
        for file in files
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": _ARTIFACT_TYPE,
        "config": config,
        "layers": layers,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def digest_of(content: bytes) -> str:
    """Return the digest by which a registry names these bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def read_files(content: bytes) -> tuple[OciFile, ...]:
    """Return the files of the artifact with this manifest.

    Raises:
        InvalidArgument: It is no manifest of files, or one names a place outside of the folder.
    """
    try:
        document = json.loads(content)
        layers = document["layers"]
        if document["schemaVersion"] != 2 or not isinstance(layers, list) or len(layers) > _MAX_LAYERS:
            raise ValueError
        files = tuple(map(_file, layers))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidArgument(
            "What the registry sent is no artifact of files.",
            "Name an artifact whose layers are the model's files, as `oras push` makes them.",
        ) from error
    names = [file.name for file in files if file.name]
    if len(set(names)) < len(names):
        raise InvalidArgument("The artifact has two files of one name.", "Push it again from a folder.")
    return files


def _file(layer: Mapping[str, Any]) -> OciFile:
    media_type, digest, size = layer["mediaType"], layer["digest"], layer["size"]
    notes = layer.get("annotations") or {}
    title = "model.gguf" if media_type in _GGUF_TYPES else str(notes.get(_TITLE, ""))
    if not isinstance(size, int) or isinstance(size, bool) or size < 0 or not _DIGEST.fullmatch(digest):
        raise ValueError
    # A folder that was packed is left aside, as is a layer without a title.
    is_file = bool(title) and notes.get(_UNPACK) != "true"
    if is_file and not _PATH.fullmatch(title):
        raise ValueError
    return OciFile(title if is_file else "", str(media_type), digest, size)
