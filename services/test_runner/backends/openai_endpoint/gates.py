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


class Gates:
    """Counts requests in flight by base URL; who may not enter waits."""

    def __init__(self) -> None:
        self._num_inside: Counter[str] = Counter()
        self._narrow: dict[str, tuple[int, float]] = {}
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

    def narrow(self, base_url: str) -> None:
        """Let half as many in as are inside now, at least one, since the server cannot bear them."""
        limit = max(min(self._num_inside[base_url], self._limit(base_url, 256)) // 2, 1)
        self._narrow[base_url] = (limit, time.monotonic() + _NARROW_SECONDS)

    def _limit(self, base_url: str, limit: int) -> int:
        narrow, until = self._narrow.get(base_url, (limit, 0.0))
        return min(narrow, limit) if time.monotonic() < until else limit


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

    def narrow(self) -> None:
        """Let fewer in for a while."""
        self.gates.narrow(self.base_url)
