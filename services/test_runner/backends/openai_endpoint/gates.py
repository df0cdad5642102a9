"""How many requests an endpoint gets at once, over all runs of the service."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# A server that was busy gets as many requests as before after this time.
_NARROW_SECONDS = 300.0


class Gate:
    """Counts the requests in flight to one base URL; who may not enter waits."""

    def __init__(self) -> None:
        self._num_inside = 0
        self._narrow_limit, self._narrow_since = 0, float("-inf")
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def entered(self, limit: int) -> AsyncIterator[None]:
        """Be inside for the length of the block, with fewer than `limit` others."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._num_inside < self._limit(limit))
            self._num_inside += 1
        try:
            yield
        finally:
            self._num_inside -= 1
            async with self._changed:
                self._changed.notify_all()

    def narrow(self, since: float) -> bool:
        """Let half as many in as are inside now, and return whether that helps a request that was inside `since`.

        Requests that fail together narrow the gate once. It does not help one that was alone.
        """
        if since < self._narrow_since:
            return True
        self._narrow_limit, self._narrow_since = max(self._num_inside // 2, 1), time.monotonic()
        return self._num_inside > 1

    def _limit(self, limit: int) -> int:
        is_narrow = time.monotonic() < self._narrow_since + _NARROW_SECONDS
        return min(self._narrow_limit, limit) if is_narrow else limit
