"""Waiting for others without falling silent and without giving up at the first outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from services.chassis.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")

_PAUSE_SECONDS = 1.0


async def with_heartbeat(stream: AsyncGenerator[T], seconds: float) -> AsyncGenerator[T | None]:
    """Yield what `stream` yields, and None whenever `seconds` pass without anything; closes `stream` at the end."""
    pending: asyncio.Task[T] | None = None
    try:
        while True:
            pending = pending or asyncio.create_task(_next(stream))
            done, _ = await asyncio.wait((pending,), timeout=seconds)
            if not done:
                yield None
                continue
            finished, pending = pending, None
            try:
                item = finished.result()
            except _StreamEndError:
                return
            yield item
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.wait((pending,))
        await stream.aclose()


async def patiently(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Return what `call` returns, calling it again while its peer is away; only for calls that are safe to repeat.

    Raises:
        Unavailable: The peer stayed away for `seconds`.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return await call()
        except (Unavailable, DeadlineExceeded):
            if time.monotonic() + _PAUSE_SECONDS > end:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


class _StreamEndError(Exception):
    """A task cannot end with StopAsyncIteration."""


async def _next(stream: AsyncGenerator[T]) -> T:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise _StreamEndError from None
