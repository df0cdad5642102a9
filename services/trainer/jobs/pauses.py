"""Pauses that come while nothing is trained: before an attempt a job stops at once, after the last it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from services.chassis.jobs import JobContext, JobPaused

T = TypeVar("T")


async def or_paused(context: JobContext, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, unless a pause is asked for before; the work is cancelled then.

    Raises:
        JobPaused: It was.
    """
    task = asyncio.create_task(work)
    asked = asyncio.create_task(context.wait_for_request())
    try:
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise JobPaused
        return task.result()
    finally:
        for each in (task, asked):
            each.cancel()
        await asyncio.gather(task, asked, return_exceptions=True)


@asynccontextmanager
async def pauses_declined(context: JobContext, reason: str) -> AsyncIterator[None]:
    """Go on through the block although pauses are asked for; `reason` is one sentence for those who ask."""
    declining = asyncio.create_task(_decline(context, reason))
    try:
        yield
    finally:
        declining.cancel()
        await asyncio.gather(declining, return_exceptions=True)


async def _decline(context: JobContext, reason: str) -> None:
    await context.wait_for_request()
    while context.pause_requested:
        await context.decline_pause(reason)
        await context.wait_for_request()
