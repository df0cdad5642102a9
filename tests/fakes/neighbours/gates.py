"""Points at which a fake neighbour can be held, named "<round>/<step>:<phase>" after the loop's request ids."""

from __future__ import annotations

import asyncio

WAIT_SECONDS = 20.0


class Gate:
    """One point: it tells when someone arrives, and holds him until it is opened."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._opened = asyncio.Event()

    async def arrival(self) -> None:
        """Return once someone stands at the gate."""
        await asyncio.wait_for(self._arrived.wait(), WAIT_SECONDS)

    def open(self) -> None:
        """Let all pass from now on."""
        self._opened.set()

    async def enter(self) -> None:
        """Arrive, and return when the gate is open."""
        self._arrived.set()
        await self._opened.wait()


class Gates:
    """The gates that a test has closed; every other point is open."""

    def __init__(self) -> None:
        self._gates: dict[str, Gate] = {}

    def close(self, point: str) -> Gate:
        """Hold whoever comes to `point`, such as "1/train:work"."""
        return self._gates.setdefault(point, Gate())

    async def enter(self, request_id: str, phase: str) -> None:
        """Come to the point that a request id and a phase name."""
        gate = self._gates.get("/".join(request_id.split("/")[-2:]) + f":{phase}")
        if gate is not None:
            await gate.enter()
