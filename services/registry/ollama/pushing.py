"""Pushing a model to a registry that speaks Ollama's protocol."""

from __future__ import annotations

from pathlib import Path

import httpx2

from services.chassis.errors import AlreadyExists, PermissionDenied
from services.registry.oci.repository import Repository
from services.registry.ollama.manifest import MANIFEST_TYPE
from services.registry.ollama.names import DEFAULT_HOST, OllamaName, parse_name
from services.registry.ollama.store import read_store
from services.registry.ports import Progress


async def push_to_registry(
    source: Path, name: str, *, client: httpx2.AsyncClient, secret: str = "", replace: bool = False, progress: Progress
) -> OllamaName:
    """Push the one model of the folder `source` under `name`: blobs first, the manifest last; progress is in bytes.

    Args:
        source: A store folder that `write_store` wrote.
        name: With the registry's host.
        client: Sends the requests.
        secret: `user:password`, a token, or empty.
        replace: Whether a model of that name gives way.
        progress: Is told the bytes that the registry has.

    Raises:
        AlreadyExists: The registry has another model of that name, and `replace` is false.
        PermissionDenied: The registry does not let this caller write.
        Unavailable: The registry does not answer.
    """
    model, place = read_store(source), parse_name(name)
    if place.host == DEFAULT_HOST:
        raise PermissionDenied(
            f"{DEFAULT_HOST} takes models only from an Ollama that is signed in with its own key.",
            "Publish into the Ollama on your machine, then run `ollama push` there.",
        )
    repository = Repository(client, place.repository_url, secret)
    existing = await repository.manifest(place.tag, (MANIFEST_TYPE,))
    if existing and existing.content != model.content and not replace:
        raise AlreadyExists(f"The registry has a model {place} already.", "Choose another name, or ask to replace it.")
    await repository.put_blobs([(model.path_of(layer), layer) for layer in model.manifest.blobs], progress)
    await repository.put_manifest(place.tag, model.content, MANIFEST_TYPE)
    return place
