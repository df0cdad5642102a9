"""What befalls the services: seeded blows at the processes, their workers and their databases."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress

import psutil

from tests.machine import command_of
from tests.storm.mutants import Mutant
from tests.storm.stack import LEASE_SECONDS, SERVICES, Replica, Stack

MEAN_GAP_SECONDS = 4.0
_FROZEN_SECONDS = 2 * LEASE_SECONDS
_LOOK_SECONDS = 0.1
_BLOWS = {"SIGKILL": 70, "SIGTERM": 15, "SIGSTOP": 10, "inner": 5}
_INNER = ("worker", "driver", "database")
_COMMANDS = {"worker": "tests.storm.compute.generation", "driver": "tests.storm.compute.training"}


class Killer:
    """Strikes until it is cancelled, and counts what it struck by kind."""

    def __init__(self, stack: Stack, chance: random.Random, mutant: Mutant | None = None) -> None:
        self.blows: Counter[str] = Counter()
        self._stack, self._chance, self._mutant = stack, chance, mutant
        self._lasting: set[asyncio.Task[None]] = set()

    async def strike_for_ever(self) -> None:
        """Strike with a mean gap of four seconds."""
        try:
            while True:
                gap = MEAN_GAP_SECONDS if self._mutant is None else MEAN_GAP_SECONDS / 2
                await asyncio.sleep(self._chance.expovariate(1 / gap))
                self._strike()
        finally:
            # What is frozen is let go, and what is locked is given back, before anyone judges.
            await asyncio.gather(*self._lasting)

    def _strike(self) -> None:
        replica = self._chance.choice(self._stack.replicas)
        if self._mutant is not None:
            replica = self._chance.choice([each for name in self._mutant.services for each in self._stack.of(name)])
        kind = self._chance.choices(list(_BLOWS), list(_BLOWS.values()))[0]
        if self._mutant is not None:
            kind = "SIGSTOP" if self._mutant.freezes else "SIGKILL"
        if kind == "inner":
            self._strike_inside(self._chance.choice(_INNER))
        elif kind == "SIGSTOP":
            self._begin(self._freeze(replica))
        elif replica.signal(signal.Signals[kind]):
            self.blows[kind] += 1

    def _strike_inside(self, kind: str) -> None:
        if kind == "database":
            seconds = self._chance.uniform(0.5, 3 * LEASE_SECONDS)
            self._begin(self._take_database_away(self._chance.choice(SERVICES), seconds))
            return
        processes = [process for process in self._stack.processes() if _COMMANDS[kind] in command_of(process)]
        if processes:
            with suppress(psutil.NoSuchProcess):
                self._chance.choice(processes).kill()
                self.blows[kind] += 1

    async def _freeze(self, replica: Replica) -> None:
        self.blows["SIGSTOP"] += await replica.freeze(_FROZEN_SECONDS)

    async def _take_database_away(self, service: str, seconds: float) -> None:
        self.blows["database"] += 1
        await self._stack.take_database_away(service, seconds)

    async def watch_points(self) -> None:
        """Count the fault points that are reached, and wake whom one stops; also when the last blow was long ago."""
        seen = 0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            # What stands behind the last line's end is being written.
            *lines, _ = self._stack.fired_path.read_text().split("\n")
            for line in lines[seen:]:
                point, action, pid = line.split(":")
                self.blows[f"point {point}"] += 1
                if action == "stop":
                    self._begin(self._wake(int(pid)))
            seen = len(lines)

    def _begin(self, work: asyncio._CoroutineLike[None]) -> None:
        task = asyncio.create_task(work)
        self._lasting.add(task)
        task.add_done_callback(self._lasting.discard)

    async def _wake(self, pid: int) -> None:
        began = time.monotonic() - _LOOK_SECONDS
        await asyncio.sleep(_FROZEN_SECONDS)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        for replica in self._stack.replicas:
            if replica.process is not None and replica.process.pid == pid:
                replica.outages.append((began, time.monotonic()))
