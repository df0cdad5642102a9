"""How many requests an endpoint gets at once, over all runs of the service."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

# A server that was busy gets as many requests as before after this time.
_NARROW_SECONDS = 300.0


@dataclass(frozen=True)
class _Narrow:
    limit: int
    since: float
    until: float


class Gates:
    """Counts requests in flight by base URL; who may not enter waits."""

    def __init__(self) -> None:
        self._num_inside: Counter[str] = Counter()
        self._narrow: dict[str, _Narrow] = {}
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def entered(self, base_url: str, limit: int) -> AsyncIterator[None]:
        """Be inside for the length of the block, with fewer than `limit` others."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._num_inside[base_url] < self._limit(base_url, limit))
            self._num_inside[base_url] += 1
        try:
            yield
        finally:
            self._num_inside[base_url] -= 1
            async with self._changed:
                self._changed.notify_all()

    def narrow(self, base_url: str, since: float) -> bool:
        """Let half as many in as are inside now, and return whether that helps a request that was inside `since`.

        Requests that fail together narrow the gate once. It does not help one that was alone.
        """
        known = self._narrow.get(base_url)
        if known is not None and since < known.since:
            return True
        num_inside = self._num_inside[base_url]
        now = time.monotonic()
        self._narrow[base_url] = _Narrow(max(num_inside // 2, 1), now, now + _NARROW_SECONDS)
        return num_inside > 1

    def _limit(self, base_url: str, limit: int) -> int:
        narrow = self._narrow.get(base_url)
        return min(narrow.limit, limit) if narrow is not None and time.monotonic() < narrow.until else limit


@dataclass(frozen=True)
class Gate:
    """The gate of one endpoint."""

    gates: Gates
    base_url: str
    limit: int

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        """Be inside for the length of the block."""
        async with self.gates.entered(self.base_url, self.limit):
            yield

    def narrow(self, since: float) -> bool:
        """Let fewer in for a while, and return whether that helps a request that was inside `since`."""
        return self.gates.narrow(self.base_url, since)
