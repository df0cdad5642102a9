"""Artifacts that nobody needs any more: handed over long ago, brought here and not used, or half written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from pathlib import Path

from services.chassis.artifacts.artifact import parse_uri
from services.chassis.artifacts.local_folder import LocalFolder
from services.chassis.artifacts.store import ABANDONED_SECONDS, open_folder
from services.chassis.artifacts.tree import Folder, Stored
from services.chassis.machine.garbage import Garbage

_HOUR = 3600.0


async def nothing_runs() -> float:
    """Return that nothing is at work which could hold an artifact."""
    return time.time()


class ArtifactGarbage:
    """What may go of the artifacts of one service.

    Args:
        url: The root of the service's artifacts.
        cache_dir: Where it keeps those that it brought from elsewhere, if anywhere.
        at_work_since: Returns when the oldest job that has not ended began, in seconds since 1970: what was written or
            used later may be held by it, and stays.
    """

    def __init__(
        self, url: str, cache_dir: Path | None = None, at_work_since: Callable[[], Awaitable[float]] = nothing_runs
    ) -> None:
        self._own = open_folder(url)
        self._cache = LocalFolder(cache_dir) if cache_dir else None
        self._at_work_since = at_work_since

    async def half_written(self) -> AsyncIterator[Garbage]:
        """Yield what writers that were killed left behind."""
        folders: list[Folder] = [self._own, *([self._cache] if self._cache else [])]
        for folder in folders:
            before = time.time() - ABANDONED_SECONDS
            for staged in await asyncio.to_thread(folder.staged, before):
                yield _garbage(folder, "staging", staged, before, "a writer that was killed left it")

    async def unused(self, days: float) -> AsyncIterator[Garbage]:
        """Yield what was brought here and not used for some days; it is brought again when it is needed."""
        if self._cache is not None:
            before = min(time.time() - 24 * days * _HOUR, await self._at_work_since())
            for stored in await asyncio.to_thread(self._cache.stored, before):
                yield _garbage(self._cache, "cache", stored, before, f"not used for {days:g} days")

    async def handed_over(
        self, kind: str, hours: float, held: Callable[[], Awaitable[Collection[str] | None]] | None = None
    ) -> AsyncIterator[Garbage]:
        """Yield what was written for another service, which has its own copy by now.

        Args:
            kind: What such artifacts are.
            hours: How old they must be.
            held: Returns the URIs of those that stay, or None where that is not known; None: none of them.
        """
        before = min(time.time() - hours * _HOUR, await self._at_work_since())
        old = await asyncio.to_thread(self._own.stored, before)
        uris = await held() if held else ()
        # By place and not by URI: a data folder may have been moved since.
        places = {parse_uri(uri)[1].path for uri in uris or ()}
        for stored in old if uris is not None else ():
            if stored.path not in places:
                yield _garbage(self._own, kind, stored, before, f"nothing refers to it after {hours:g} hours")


def _garbage(folder: Folder, kind: str, stored: Stored, before: float, reason: str) -> Garbage:
    def remove() -> None:
        # Whoever needed it meanwhile has written or used it again.
        if folder.change_time(stored.path) < before:
            folder.remove(stored.path)

    name = stored.path.rpartition("/")[2][:16]
    return Garbage(kind, name, stored.size_bytes, reason, partial(asyncio.to_thread, remove))
