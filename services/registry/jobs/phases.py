"""What jobs of the registry tell of themselves while they work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum

from services.chassis.jobs import JobContext
from services.registry.domain.model_import import NOTES
from services.registry.ports import Progress

_HEARTBEAT_SECONDS = 2.0


@asynccontextmanager
async def phase_told(context: JobContext, phase: StrEnum, message: str) -> AsyncIterator[Progress]:
    """Report the phase at once, then again and again, so that a watcher sees that work goes on."""

    async def progress(done: int, total: int) -> None:
        await context.progress(phase=phase, done=done, total=total, unit="bytes", message=message)

    async def beat() -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            await context.progress()

    await progress(0, 0)
    beating = asyncio.create_task(beat())
    try:
        yield progress
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def keep_notes(context: JobContext, notes: Sequence[str]) -> None:
    """Keep the notes with the job, and say each in its history; a repeat says what is new."""
    saved = context.saved or {}
    await context.checkpoint({**saved, NOTES: list(notes)})
    for note in notes:
        if note not in saved.get(NOTES, ()):
            await context.event("message", {"text": note})
