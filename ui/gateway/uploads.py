"""Uploaded bytes, kept under the gateway's own prefix until the registry has adopted them."""

from __future__ import annotations

from drillyard.registry.v1.artifact_pb2 import Artifact
from fastapi import Request

from services.chassis.artifacts import ArtifactStore
from services.chassis.waiting import Places

MAX_RUNNING = 4
MAX_WAITING = 16


class Uploads:
    """Keeps what is uploaded and names it for the registry."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._places = Places("uploads", num_running=MAX_RUNNING, num_waiting=MAX_WAITING)

    async def keep(self, content: bytes) -> Artifact:
        """Keep bytes and return the name under which the registry can adopt them.

        Raises:
            Busy: As many uploads as are allowed are being kept.
            ResourceExhausted: No space is left.
        """
        async with self._places.place():
            kept = await self._store.put_bytes(content, "application/jsonl")
        return Artifact(uri=kept.uri, digest=kept.digest, size_bytes=kept.size_bytes)


def uploads_of(request: Request) -> Uploads:
    """Return the application's uploads."""
    uploads: Uploads = request.app.state.uploads
    return uploads
