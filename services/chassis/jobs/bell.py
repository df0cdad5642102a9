"""Wakes those who wait for a change, within one process and without a database query, and spaces out what can wait."""

from __future__ import annotations

import asyncio
import time
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

    @property
    def num_topics(self) -> int:
        """On how many topics somebody listens."""
        return len(self._listeners)

    def ring(self, *topics: str) -> None:
        """Wake all who listen to one of `topics`."""
        for topic in topics:
            for listener in self._listeners.get(topic, ()):
                listener.ring()


class Pace:
    """Gives turns to those who write what can wait, so many a second for all of them together."""

    def __init__(self, turns_a_second: float) -> None:
        self._gap_seconds = 1 / turns_a_second
        self._next_turn = time.monotonic()

    def wait_seconds(self) -> float:
        """Take the next turn, and return how far off it is."""
        now = time.monotonic()
        turn = max(now, self._next_turn)
        self._next_turn = turn + self._gap_seconds
        return turn - now
