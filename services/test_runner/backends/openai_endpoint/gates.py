"""How many requests an endpoint gets at once, over all runs of the service."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gates:
    """Counts requests in flight by base URL; who may not enter waits."""

    def __init__(self) -> None:
        self._num_inside: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def entered(self, base_url: str, limit: int) -> AsyncIterator[None]:
        """Be inside for the length of the block, with fewer than `limit` others."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._num_inside[base_url] < limit)
            self._num_inside[base_url] += 1
        try:
            yield
        finally:
            self._num_inside[base_url] -= 1
            async with self._changed:
                self._changed.notify_all()
