"""The five services as real processes on fixed addresses, under a supervisor that starts them again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.machine import free_ports
from tests.storm.databases import Databases
from tests.storm.plugin import COMPUTE, FAULT, FIRED, GATE, MUTANT, TOKEN
from tests.storm.points import points_of
from tests.unit.chassis.machine.webhook_receiver import SECRET

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("registry", "test_runner", "evaluator", "trainer", "feedback")
# On a busy machine a renewal may take more than a second; with a shorter lease jobs would only change hands.
LEASE_SECONDS = 6.0
_RESTART_SECONDS = 0.1
# A caller that was refused waits a moment before it tries to connect again.
_RECONNECT_SECONDS = 0.5
_FAULT_SHARE = 0.5
_STOP_SECONDS = 20.0
# Short leases and small windows, so that minutes hold many hand-overs. The caps of deaths are set beyond what a storm
# can reach: a job that is at work whenever its service is killed would otherwise end as FAILED, as it should.
_SETTINGS: dict[str, dict[str, object]] = {
    "registry": {"num_imports": 2, "num_exports": 2},
    "test_runner": {"max_running": 4, "max_workers": 2, "window_size": 8, "num_threads": 1, "idle_seconds": 5},
    "evaluator": {},
    "trainer": {"max_running": 3, "max_attempts": 100, "num_threads": 1},
    "feedback": {"max_running_builds": 2, "max_running_shipments": 2},
}
_SHARED_SETTINGS: dict[str, object] = {
    "drain_grace_seconds": 2,
    "exit_with_parent": "true",
    "log_format": "json",
    "max_deaths": 100,
}


@dataclass
class Replica:
    """One process of a service; the next one takes its address.

    Attributes:
        outages: Times on the monotonic clock from which and until which it could not answer.
        serving_seconds: From the start of each process to its ready line.
        is_kept: Whether it is started again when it ends.
    """

    service: str
    address: str
    log_path: Path
    process: asyncio.subprocess.Process | None = None
    outages: list[tuple[float, float]] = field(default_factory=list)
    serving_seconds: list[float] = field(default_factory=list)
    is_kept: bool = True
    is_frozen: bool = False
    away_since: float = field(default_factory=time.monotonic)
    serving: asyncio.Event = field(default_factory=asyncio.Event)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process, and say whether there was one."""
        if self.process is None or self.process.returncode is not None:
            return False
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.went_away()
        return True

    def went_away(self) -> None:
        """Take note that it does not answer from now on."""
        if self.serving.is_set():
            self.serving.clear()
            self.away_since = time.monotonic()

    async def freeze(self, seconds: float) -> bool:
        """Stop the process for a while, and say whether there was one."""
        began, process = time.monotonic(), self.process
        if self.is_frozen or process is None or not self.signal(signal.SIGSTOP):
            return False
        self.is_frozen = True
        await asyncio.sleep(seconds)
        self.is_frozen = False
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        self.outages.append((began, time.monotonic()))
        return True


class Stack:
    """The services of a storm, one or more replicas each."""

    def __init__(
        self,
        data_dir: Path,
        databases: Databases,
        *,
        chance: random.Random,
        mutant: str = "",
        lease_seconds: float = LEASE_SECONDS,
        copies: int = 0,
        webhook: str = "",
    ) -> None:
        self.data_dir, self.databases = data_dir, databases
        self.lease_seconds, self._webhook = lease_seconds, webhook
        # While it is there, jobs that were claimed do not begin their work.
        self.gate_path = data_dir / "gate"
        self.token = uuid.uuid4().hex
        self.fired_path = data_dir / "fired.log"
        self.has_faults = False
        self._chance, self._mutant = chance, mutant
        logs = data_dir / "logs"
        logs.mkdir(parents=True)
        self.scratch_dir = data_dir / "scratch"
        self.scratch_dir.mkdir()
        self.fired_path.touch()
        copies = copies or (2 if databases.is_shared else 1)
        ports = free_ports(len(SERVICES) * copies)
        self.replicas = [
            Replica(name, f"127.0.0.1:{ports.pop()}", logs / f"{name}-{copy}.log")
            for name in SERVICES
            for copy in range(copies)
        ]
        self._keepers: list[asyncio.Task[None]] = []

    def of(self, service: str) -> list[Replica]:
        """Return the replicas of a service."""
        return [replica for replica in self.replicas if replica.service == service]

    def target(self, service: str) -> str:
        """Return what a channel to all replicas of a service is opened with."""
        addresses = [replica.address for replica in self.of(service)]
        return addresses[0] if len(addresses) == 1 else "ipv4:" + ",".join(addresses)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stack]:
        """Start all services, and stop them with the block."""
        self._keepers = [asyncio.create_task(self._keep(replica)) for replica in self.replicas]
        try:
            await self.all_serving()
            yield self
        finally:
            await self.stop()

    async def all_serving(self, seconds: float = 300.0) -> None:
        """Return when every replica answers."""
        await asyncio.wait_for(asyncio.gather(*[replica.serving.wait() for replica in self.replicas]), seconds)

    async def stop(self) -> None:
        """End every service by SIGTERM, those that do not go by SIGKILL."""
        for replica in self.replicas:
            replica.is_kept = False
            replica.signal(signal.SIGCONT)
            replica.signal(signal.SIGTERM)
        await asyncio.wait(self._keepers, timeout=_STOP_SECONDS)
        for replica in self.replicas:
            replica.signal(signal.SIGKILL)
        await asyncio.gather(*self._keepers)

    async def take_database_away(self, service: str, seconds: float) -> None:
        """Keep a service's database from it for a while, with all others' where one server holds them."""
        began = time.monotonic()
        await self.databases.take_away(service, seconds)
        if self.databases.is_shared:
            # Without its server every replica refuses. A lock of SQLite keeps writers only.
            for replica in self.replicas:
                replica.outages.append((began, time.monotonic()))

    def processes(self) -> list[psutil.Process]:
        """Return every living process that the services started, themselves included."""
        living = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(TOKEN) == self.token and process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process)
        return living

    async def _keep(self, replica: Replica) -> None:
        while replica.is_kept:
            started = time.monotonic()
            with replica.log_path.open("ab") as log:
                process = replica.process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", f"services.{replica.service}"),
                    cwd=ROOT,
                    env=self._environment(replica),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                )
            assert process.stdout is not None
            if b'"serving"' in await process.stdout.readline():
                replica.serving_seconds.append(time.monotonic() - started)
                replica.outages.append((replica.away_since, time.monotonic() + _RECONNECT_SECONDS))
                replica.serving.set()
                await process.stdout.read()
            await process.wait()
            replica.went_away()
            await asyncio.sleep(_RESTART_SECONDS)
        replica.outages.append((replica.away_since, float("inf")))

    def _environment(self, replica: Replica) -> dict[str, str]:
        prefix = replica.service.upper()
        settings = {
            **_SHARED_SETTINGS,
            **_SETTINGS[replica.service],
            **self.databases.settings(replica.service),
            "lease_seconds": self.lease_seconds,
            "webhooks": json.dumps([{"url": self._webhook, "secret": "storm"}] if self._webhook else []),
            "secret_storm": SECRET,
            **{f"{name}_address": self.target(name) for name in SERVICES},
            "data_dir": self.data_dir,
            "grpc_port": replica.address.rpartition(":")[2],
        }
        paths = [str(Path(__file__).parent / "site"), str(ROOT), str(ROOT / "proto" / "gen")]
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(f"{prefix}_")},
            **{f"{prefix}_{name.upper()}": str(value) for name, value in settings.items()},
            "PYTHONPATH": os.pathsep.join(paths),
            TOKEN: self.token,
            COMPUTE: "made-up",
            FIRED: str(self.fired_path),
            GATE: str(self.gate_path),
            # Scratch files of services, which none of them may leave behind.
            "TMPDIR": str(self.scratch_dir),
            FAULT: self._fault(replica.service),
            MUTANT: self._mutant,
        }

    def _fault(self, service: str) -> str:
        if not self.has_faults or self._chance.random() > _FAULT_SHARE:
            return ""
        point, count = self._chance.choice(points_of(service)), self._chance.choice([1, 1, 2, 3, 5, 8])
        return f"{point}:{'stop' if self._chance.random() < 0.1 else 'kill'}:{count}"
