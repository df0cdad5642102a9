"""Wakes those who wait for a change, within one process and without a database query."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

QUEUE = "queue"
ENDED = "ended"


def events_of(job_id: str) -> str:
    """Return the topic that rings for each new event of a job."""
    return f"events:{job_id}"


def requests_of(job_id: str) -> str:
    """Return the topic that rings when someone asks a job to cancel or pause."""
    return f"requests:{job_id}"


class Listener:
    """One who waits on a topic; a ring between two waits is not lost."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring, `seconds` at the most; say whether it rang."""
        # Unlike `wait_for`, `timeout` never swallows a cancel that comes together with the ring.
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True

    def ring(self) -> None:
        """Wake this listener."""
        self._rung.set()


class Bell:
    """Topics and those who listen to them."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = {}

    @contextmanager
    def listen(self, topic: str) -> Iterator[Listener]:
        """Listen to `topic`; begin before reading the state, so that no change slips between."""
        listener = Listener()
        self._listeners.setdefault(topic, set()).add(listener)
        try:
            yield listener
        finally:
            listeners = self._listeners[topic]
            listeners.discard(listener)
            if not listeners:
                del self._listeners[topic]

    def ring(self, *topics: str) -> None:
        """Wake all who listen to one of `topics`."""
        for topic in topics:
            for listener in self._listeners.get(topic, ()):
                listener.ring()
