"""Services in a thread, for tests that are not asynchronous themselves."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

import structlog

T = TypeVar("T")


@contextmanager
def in_background(context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter an asynchronous context in a thread of its own, and yield what it yields until the block ends."""
    ready: queue.SimpleQueue[tuple[T | BaseException, asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def run() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with context as entered:
                ready.put((entered, loop, end))
                await end.wait()
        except BaseException as error:
            ready.put((error, loop, end))
            raise

    # Records of services would stand among what a command prints in the same process.
    configuration = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    entered, loop, end = ready.get(timeout=300)
    if isinstance(entered, BaseException):
        raise entered
    try:
        yield entered
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(20)
        structlog.configure(**configuration)
