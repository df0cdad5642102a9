"""Waiting for others without falling silent and without giving up at the first outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_before_delay, wait_random_exponential

from services.chassis.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.2
_LAST_PAUSE_SECONDS = 5.0


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
        DeadlineExceeded: It answered too slowly for as long.
    """
    # Spread, so that the jobs of a service don't all knock at once when the peer is back.
    retrying = AsyncRetrying(
        retry=retry_if_exception_type((Unavailable, DeadlineExceeded)),
        stop=stop_before_delay(seconds),
        wait=wait_random_exponential(multiplier=_FIRST_PAUSE_SECONDS, max=_LAST_PAUSE_SECONDS),
        reraise=True,
    )

    async def attempt() -> T:
        # What tenacity awaits must be known as a coroutine function; a lambda that makes one is not.
        return await call()

    return await retrying(attempt)


class _StreamEndError(Exception):
    """A task cannot end with StopAsyncIteration."""


async def _next(stream: AsyncGenerator[T]) -> T:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise _StreamEndError from None
