"""The made-up system in a thread, for tests that are not asynchronous themselves."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from tests.fakes.system.rows import World
from tests.fakes.system.servicers import serve


@contextmanager
def served(world: World) -> Iterator[dict[str, str]]:
    """Serve `world` until the block ends; yields a gateway's settings that name its addresses."""
    ready: queue.SimpleQueue[tuple[dict[str, str], asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def run() -> None:
        end = asyncio.Event()
        async with serve(world) as addresses:
            ready.put((addresses, asyncio.get_running_loop(), end))
            await end.wait()

    # Records of the made-up services would stand among what a command prints in the same process.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    addresses, loop, end = ready.get(timeout=20)
    try:
        yield addresses
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(20)
        structlog.reset_defaults()
