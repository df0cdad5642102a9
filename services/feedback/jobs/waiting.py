"""Waits for work in other services, and starts it so that no interruption loses its id."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from services.chassis.errors import ERROR_CLASSES, FailedPrecondition, ServiceError
from services.feedback.domain.work import WorkProgress, WorkState
from services.feedback.ports.neighbours import Work

T = TypeVar("T")
Report = Callable[[WorkProgress], Awaitable[None]]

# Long enough for one call to another service and one write, short enough to fit in a drain.
_UNINTERRUPTED_SECONDS = 5.0
_CLASS_OF_CODE = {cls.code: cls for cls in ERROR_CLASSES}


async def until_ended(work: Work, work_id: str, noun: str, report: Report) -> WorkState:
    """Return how the work stands when it has SUCCEEDED; tell `report` how far it is until then.

    Raises:
        ServiceError: The work FAILED; class and sentences are its own.
        FailedPrecondition: It was cancelled by someone else.
    """
    while not (state := await work.state(work_id)).is_final:
        async with aclosing(work.watch(work_id)) as progresses:
            async for progress in progresses:
                await report(progress)
    if state.state == "FAILED":
        cls: type[ServiceError] = _CLASS_OF_CODE.get(state.code, FailedPrecondition)
        raise cls(f"The {noun} {work_id} failed: {state.problem}", state.next_step)
    if state.state != "SUCCEEDED":
        raise FailedPrecondition(
            f"The {noun} {work_id} was cancelled by someone else.", "Begin again, and let its work run to the end."
        )
    return state


async def uninterrupted(action: Coroutine[Any, Any, T]) -> T:
    """Return what `action` returns; when the caller is cancelled, give the action a few seconds to end first."""
    task = asyncio.ensure_future(action)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_UNINTERRUPTED_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
