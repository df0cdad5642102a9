"""Taking over the bytes of a version: they are kept when the version is registered, and vanish when it isn't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import ServiceError
from services.chassis.machine.garbage import Garbage
from services.registry.ports.stores import Claims

_log = structlog.get_logger()


class Adoption:
    """Keeps bytes for as long as a block runs; unless a version holds them by its end, they are deleted.

    The claim on them is stored before the first byte is written, so nothing deletes them meanwhile, whichever replica
    and whoever else has equal bytes, and what a killed process wrote is found.
    """

    def __init__(self, artifacts: ArtifactStore, claims: Claims) -> None:
        self._artifacts = artifacts
        self._claims = claims

    @asynccontextmanager
    async def adopted(self, source: Artifact) -> AsyncIterator[Artifact]:
        """Yield the registry's own, verified copy of another service's bytes.

        Raises:
            FailedPrecondition: The bytes aren't there or differ from what is claimed.
        """
        async with self._claimed(self._artifacts.own_uri(source.uri)):
            yield await self._artifacts.adopt(source.uri, source.digest, source.size_bytes)

    @asynccontextmanager
    async def written(self, content: bytes | Path) -> AsyncIterator[Artifact]:
        """Yield what bytes, or a file or folder that nobody changes any more, are in the registry."""
        async with self._claimed((await self._artifacts.describe(content)).uri):
            if isinstance(content, bytes):
                yield await self._artifacts.put_bytes(content)
            elif await asyncio.to_thread(content.is_file):
                yield await self._artifacts.put_file(content)
            else:
                yield await self._artifacts.put_tree(content, linked=True)

    @asynccontextmanager
    async def held(self, artifact: Artifact) -> AsyncIterator[Artifact]:
        """Yield `artifact`, which the registry has, once all its bytes are verified.

        Raises:
            FailedPrecondition: They are damaged.
            NotFound: They are gone.
        """
        async with self._claimed(artifact.uri):
            await self._artifacts.verify(artifact.uri, artifact.digest)
            yield artifact

    @asynccontextmanager
    async def released(self, artifact: Artifact) -> AsyncIterator[None]:
        """Let the block delete a version; its bytes go with it unless another version or claim holds them."""
        async with self._claimed(artifact.uri):
            yield

    async def collect(self) -> None:
        """Delete what processes that were killed have left behind."""
        for claim_id in await self._claims.abandoned():
            await self._end(claim_id)

    async def garbage(self) -> AsyncIterator[Garbage]:
        """Yield the claims of replicas that were killed a day ago; their bytes go unless a version holds them."""
        for claim_id in await self._claims.expired():
            yield Garbage("claim", claim_id[:16], 0, "its holder was killed", partial(self._end, claim_id))

    @asynccontextmanager
    async def _claimed(self, uri: str) -> AsyncIterator[None]:
        claim_id = await self._claims.add(uri)
        try:
            yield
        finally:
            ending = asyncio.ensure_future(self._end(claim_id))
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                await asyncio.wait((ending,))
                raise

    async def _end(self, claim_id: str) -> None:
        try:
            await self._claims.end(claim_id, self._artifacts.delete)
        except ServiceError as error:
            # The claim stays; its bytes are looked at again once it counts as abandoned.
            _log.warning("artifact_claim_not_ended", claim_id=claim_id, reason=str(error))
