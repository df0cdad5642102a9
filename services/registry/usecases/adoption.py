"""Taking over the bytes of a version: they are kept when the version is registered, and vanish when it isn't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary

from services.chassis.artifacts import Artifact
from services.registry.ports import Artifacts


class Holder(Protocol):
    """Whatever may refer to bytes."""

    async def holds(self, digest: str) -> bool:
        """Say whether a version's bytes have this digest."""


class Adoption:
    """Adopts bytes for as long as a block runs; unless a version holds them by its end, they are deleted."""

    def __init__(self, artifacts: Artifacts, holders: Sequence[Holder]) -> None:
        self._artifacts = artifacts
        self._holders = holders
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def adopted(self, claimed: Artifact) -> AsyncIterator[Artifact]:
        """Yield the registry's own copy of `claimed`.

        Raises:
            FailedPrecondition: The bytes aren't there or differ from what is claimed.
        """
        async with self._lock(claimed.digest):
            artifact = await self._artifacts.adopt(claimed.uri, claimed.digest, claimed.size_bytes)
            async with self._released(artifact):
                yield artifact

    @asynccontextmanager
    async def borrowed(self, claimed: Artifact) -> AsyncIterator[Artifact]:
        """Yield the registry's own copy of `claimed`, which is gone by the end unless a version holds these bytes.

        Raises:
            FailedPrecondition: The bytes aren't there or differ from what is claimed.
        """
        async with self._lock(claimed.digest):
            artifact = await self._artifacts.adopt(claimed.uri, claimed.digest, claimed.size_bytes)
            try:
                yield artifact
            finally:
                await asyncio.shield(self._discard(artifact))

    @asynccontextmanager
    async def kept(self, artifact: Artifact) -> AsyncIterator[Artifact]:
        """Yield `artifact`, which the registry has just written."""
        async with self._lock(artifact.digest), self._released(artifact):
            yield artifact

    def _lock(self, digest: str) -> asyncio.Lock:
        # Equal bytes of two callers: the one that fails must not delete them under the other.
        return self._locks.setdefault(digest, asyncio.Lock())

    @asynccontextmanager
    async def _released(self, artifact: Artifact) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            await asyncio.shield(self._discard(artifact))
            raise

    async def _discard(self, artifact: Artifact) -> None:
        for holder in self._holders:
            if await holder.holds(artifact.digest):
                return
        await self._artifacts.delete(artifact.uri)
