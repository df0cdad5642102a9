"""The life of a service process, whose `__main__` is one `run`: one line when it serves, clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
import structlog
from drillyard.notice.v1.notice_service_pb2_grpc import add_NoticeServiceServicer_to_server

from services.chassis.artifacts import ArtifactStore
from services.chassis.artifacts.garbage import ArtifactGarbage
from services.chassis.calls import CallLimit
from services.chassis.channel import open_channel
from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.errors import FailedPrecondition, ServiceError
from services.chassis.jobs import Job, JobRunner, Json, SqlJobStore
from services.chassis.jobs.sql_store import event_garbage
from services.chassis.logs import configure_logs
from services.chassis.machine.garbage import GarbageCollector, Place
from services.chassis.machine.parent import ServiceToken, end_with_parent
from services.chassis.machine.usage import Usage
from services.chassis.machine.webhooks.servicer import SERVICE_NAME as NOTICE_SERVICE
from services.chassis.machine.webhooks.wiring import old_deliveries, wired_notices
from services.chassis.server import Server
from services.chassis.settings import ServiceSettings, except_loopback, favour_event_loop
from services.chassis.telemetry import Telemetry, TelemetryServer, traced
from services.chassis.waiting import keep_going

JOB_MIGRATIONS = Path(__file__).parent / "jobs" / "migrations"
_HEALTH_SECONDS = 2.0
# Of the grace, for what must still be told; the rest is for the calls and jobs that end after it.
_DRAIN_SHARE = 0.75
_log = structlog.get_logger()

Hook = Callable[[], Awaitable[None]]
DrainHook = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Jobs:
    """The durable jobs of a service: their rows, and the runner that works on them."""

    store: SqlJobStore
    runner: JobRunner


@dataclass
class Application:
    """What a service's `wire` function gets: everything that the chassis made, and where to put its own parts.

    Attributes:
        notices: By kind of job, what webhooks are told besides of a job that has ended: events with their facts.
    """

    name: str
    settings: ServiceSettings
    telemetry: Telemetry
    database: Database
    artifacts: ArtifactStore
    jobs: Jobs
    server: Server
    garbage: GarbageCollector
    artifact_garbage: ArtifactGarbage
    usage: Usage
    token: ServiceToken | None = None
    notices: dict[str, Callable[[Job], Sequence[tuple[str, Json]]]] = field(default_factory=dict)
    _tasks: dict[str, Hook] = field(default_factory=dict)
    _on_start: list[Hook] = field(default_factory=list)
    _on_drain: list[DrainHook] = field(default_factory=list)
    _on_stop: list[Hook] = field(default_factory=list)

    def add_servicer(self, add: Callable[[Any, Any], None], servicer: object, full_service_name: str) -> None:
        """Register a servicer, with its generated `add_…Servicer_to_server` and its full name in the proto."""
        self.server.add_servicer(add, servicer, full_service_name)

    def on_start(self, hook: Hook) -> None:
        """Await `hook` after wiring and before jobs and RPCs begin; hooks run in the order they were given."""
        self._on_start.append(hook)

    def on_drain(self, hook: DrainHook) -> None:
        """Await `hook`, with the seconds that it may take, before the service ends; calls are answered meanwhile."""
        self._on_drain.append(hook)

    def on_stop(self, hook: Hook) -> None:
        """Await `hook` after the last RPC and job; hooks run in reverse order, each one even if another fails."""
        self._on_stop.append(hook)

    def open_channel(self, address: str) -> grpc.aio.Channel:
        """Open a channel to another service, which need not be there yet; it is closed as this one stops."""
        seconds = self.settings.call_seconds
        channel = open_channel(address, token=self.token, tls=self.server.tls, deadline_seconds=seconds)
        self.on_stop(channel.close)
        return channel

    def keep_doing(self, name: str, work: Hook) -> None:
        """Do endless work for as long as the service runs; one that breaks again and again ends the service."""
        self._tasks[name] = work

    async def start(self) -> None:
        """Run the start hooks, then answer calls and work on jobs."""
        self.telemetry.on_scrape(self._count_jobs)
        for hook in self._on_start:
            await hook()
        await self.server.start()
        await self.jobs.runner.start()

    async def stop(self) -> None:
        """Run the drain hooks, end RPCs and jobs within the grace period, run the stop hooks, close the database."""
        grace = self.settings.drain_grace_seconds
        if self._on_drain:
            await self.server.set_serving(False)
            start = time.monotonic()
            await asyncio.gather(*(drain(_DRAIN_SHARE * grace) for drain in self._on_drain), return_exceptions=True)
            grace -= time.monotonic() - start
        await asyncio.gather(self.server.drain(max(grace, 0)), self.jobs.runner.stop(max(grace, 0)))
        for hook in reversed(self._on_stop):
            try:
                await hook()
            except Exception:
                _log.exception("stop_hook_failed")
        await self.database.close()

    async def watch_health(self) -> None:
        """Say NOT_SERVING while the database does not answer, or jobs are not claimed; runs until it is cancelled."""
        while True:
            await self.server.set_serving(await self._is_database_up() and self.jobs.runner.is_claiming)
            await asyncio.sleep(_HEALTH_SECONDS)

    async def wait_for_failure(self) -> None:
        """Wait for as long as the service does what it is for.

        Raises:
            Exception: What keeps it from telling its health or from claiming jobs, again and again.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_going("watch_health", self.watch_health))
            group.create_task(self.jobs.runner.wait_for_failure())
            for name, work in self._tasks.items():
                group.create_task(keep_going(name, work))
            if self.garbage.hours:
                group.create_task(keep_going("collect_garbage", self.garbage.keep_collecting))

    async def _is_database_up(self) -> bool:
        try:
            await asyncio.wait_for(self.database.ping(), _HEALTH_SECONDS)
        except (ServiceError, TimeoutError) as error:
            _log.warning("database_down", reason=str(error) or "timeout")
            return False
        return True

    async def _count_jobs(self) -> None:
        try:
            counts, queue_ages = await self.jobs.runner.standing()
            self.telemetry.set_jobs(counts, queue_ages, self.jobs.store.num_unreadable)
        except ServiceError as error:
            _log.warning("jobs_not_counted", reason=str(error))


Wire = Callable[[Application], Awaitable[None]]


async def assemble(name: str, settings: ServiceSettings, migrations: Path = JOB_MIGRATIONS) -> Application:
    """Open the database, bring it to the code's schema, and make the parts of an application.

    Raises:
        FailedPrecondition: The database is in use, too new, or on a network filesystem; or a secret is not there.
    """
    token = ServiceToken(settings.token_file) if settings.token_file else None
    database = Database.open(settings.resolved_database_url(name), lease_seconds=settings.lease_seconds)
    try:
        await migrate(database, migrations)
        store = SqlJobStore(database)
        runner = JobRunner(
            store,
            owner=f"{name}@{socket.gethostname()}:{os.getpid()}",
            lease_seconds=settings.lease_seconds_of_jobs(is_only_owner=database.is_sqlite),
            is_only_owner=database.is_sqlite,
            max_deaths=settings.max_deaths,
        )
        cache_dir = settings.service_dir(name) / "artifact_cache"
        artifacts = ArtifactStore(
            settings.resolved_artifacts_url(name),
            sources=settings.resolved_artifact_sources(),
            cache_dir=cache_dir,
        )
        await artifacts.sweep(is_only_writer=database.is_sqlite)
    except BaseException:
        await database.close()
        raise
    telemetry = Telemetry()
    server = Server(telemetry, CallLimit(settings.max_calls, settings.max_watches), token, settings.tls_dir)
    of_artifacts = ArtifactGarbage(settings.resolved_artifacts_url(name), cache_dir, store.at_work_since)
    garbage = GarbageCollector(name, settings.gc_hours, Place.of_service(name, settings))
    garbage.add(of_artifacts.half_written, partial(of_artifacts.unused, settings.cache_days))
    garbage.add(partial(event_garbage, store, settings.event_days))
    garbage.serve_at(server)
    usage, jobs = Usage(database, runner), Jobs(store, runner)
    usage.serve_at(server)
    storage = (artifacts, jobs, server, garbage, of_artifacts)
    return Application(name, settings, telemetry, database, *storage, usage, token)


def run(name: str, settings: ServiceSettings, wire: Wire, *, migrations: Path = JOB_MIGRATIONS) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    When it serves, prints one line of JSON to stdout with `event`, `service`, `grpc_address`, `metrics_address` and
    `pid`. An error that the person at the keyboard can mend ends the process with one sentence and status 2.

    Args:
        name: The service in snake case; also its folder in the data folder.
        settings: Read once, by `load_settings`.
        wire: Adds servicers, job kinds and hooks to the application.
        migrations: The service's revision files; the first of them calls `create_job_tables(op)`.
    """
    os.environ.update(except_loopback(os.environ))
    favour_event_loop()
    configure_logs(service=name, level=settings.log_level, log_format=settings.log_format)
    try:
        with traced(name):
            asyncio.run(_serve(name, settings, wire, migrations))
    except ServiceError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)


async def _serve(name: str, settings: ServiceSettings, wire: Wire, migrations: Path) -> None:
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    if settings.exit_with_parent:
        end_with_parent()
    application = await assemble(name, settings, migrations)
    telemetry_server = TelemetryServer(application.telemetry, lambda: application.server.is_serving)
    try:
        await wire(application)
        store, runner = application.jobs.store, application.jobs.runner
        wired = wired_notices(name, settings, (store, runner), application.notices, token=application.token)
        application.add_servicer(add_NoticeServiceServicer_to_server, wired.servicer, NOTICE_SERVICE)
        application.keep_doing("tell_webhooks", wired.notices.keep_telling)
        application.garbage.add(partial(old_deliveries, store))
        application.on_stop(wired.sending.close)
        addresses = await _listen(application, telemetry_server)
        await application.start()
        # To look through all that the start has made takes 70 ms of the event loop, and finds nothing.
        gc.freeze()
        await application.server.set_serving(True)
        print(json.dumps({"event": "serving", "service": name, **addresses, "pid": os.getpid()}), flush=True)
        await _first_of(end.wait(), application.wait_for_failure())
        _log.info("draining")
    finally:
        await application.stop()
        await telemetry_server.stop()


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Return when one of them has ended, or raise what ended it."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _listen(application: Application, telemetry_server: TelemetryServer) -> dict[str, str]:
    settings, host = application.settings, application.settings.host
    try:
        grpc_port = application.server.bind(host, settings.grpc_port, reflection=settings.reflection)
    except FailedPrecondition as error:
        raise _port_taken(settings, "GRPC_PORT", settings.grpc_port) from error
    try:
        metrics_port = await telemetry_server.start(host, settings.metrics_port)
    except OSError as error:
        raise _port_taken(settings, "METRICS_PORT", settings.metrics_port) from error
    return {"grpc_address": f"{host}:{grpc_port}", "metrics_address": f"{host}:{metrics_port}"}


def _port_taken(settings: ServiceSettings, variable: str, port: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"The address {settings.host}:{port} cannot be bound: another process uses it, or the host is not this one's.",
        f"Set {settings.env_prefix}{variable} to another port, or to 0 for any free one.",
    )
