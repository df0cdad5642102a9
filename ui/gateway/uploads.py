"""Uploaded bytes, kept under the gateway's own prefix until the registry has adopted them."""

from __future__ import annotations

from drillyard.registry.v1.artifact_pb2 import Artifact
from fastapi import Request

from services.chassis.artifacts import ArtifactStore


class Uploads:
    """Keeps what is uploaded and names it for the registry."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def keep(self, content: bytes) -> Artifact:
        """Keep bytes and return the name under which the registry can adopt them.

        Raises:
            ResourceExhausted: No space is left.
        """
        kept = await self._store.put_bytes(content, "application/jsonl")
        return Artifact(uri=kept.uri, digest=kept.digest, size_bytes=kept.size_bytes)


def uploads_of(request: Request) -> Uploads:
    """Return the application's uploads."""
    uploads: Uploads = request.app.state.uploads
    return uploads
