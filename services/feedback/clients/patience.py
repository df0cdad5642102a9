"""Repeats calls to a service that is away for a while."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.chassis.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.2
_LAST_PAUSE_SECONDS = 5.0


async def persist(call: Callable[[], Awaitable[T]], patience_seconds: float) -> T:
    """Return what `call` returns, repeating it while the service is away; it must be safe to repeat.

    Raises:
        Unavailable: The service stayed away for longer than `patience_seconds`.
        DeadlineExceeded: It answered too slowly for as long.
    """
    end = time.monotonic() + patience_seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except (Unavailable, DeadlineExceeded):
            if time.monotonic() + pause > end:
                raise
        # Spread, so that the loops of a service don't all knock at once when it is back.
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 2, _LAST_PAUSE_SECONDS)
