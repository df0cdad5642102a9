"""Runs one service as a process: `run` is the whole `__main__`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from services.chassis.application import JOB_MIGRATIONS, Application, assemble
from services.chassis.errors import FailedPrecondition, ServiceError
from services.chassis.logs import configure_logs
from services.chassis.parent import end_with_parent
from services.chassis.settings import ServiceSettings, except_loopback
from services.chassis.telemetry import TelemetryServer

Wire = Callable[[Application], Awaitable[None]]
_log = structlog.get_logger()


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
    configure_logs(service=name, level=settings.log_level, log_format=settings.log_format)
    try:
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
    health: asyncio.Task[None] | None = None
    try:
        await wire(application)
        addresses = await _listen(application, telemetry_server)
        await application.start()
        health = asyncio.create_task(application.watch_health())
        await application.server.set_serving(True)
        print(json.dumps({"event": "serving", "service": name, **addresses, "pid": os.getpid()}), flush=True)
        await end.wait()
        _log.info("draining")
    finally:
        if health is not None:
            health.cancel()
        await application.stop()
        await telemetry_server.stop()


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
