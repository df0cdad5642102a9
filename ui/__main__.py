"""Starts the gateway: `python -m ui`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import uvicorn

from services.chassis.logs import configure_logs
from services.chassis.machine.parent import end_with_parent
from services.chassis.settings import favour_event_loop, forget_proxies, load_settings
from services.chassis.telemetry import Telemetry, TelemetryServer, traced
from ui.gateway.settings import GatewaySettings

_GRACE_SECONDS = 3


def main() -> None:
    """Serve until SIGTERM or SIGINT; prints one line of JSON to stdout when it serves."""
    settings = load_settings(GatewaySettings)
    # The gateway asks its services alone, and the page framework cannot be imported where a proxy's address is odd.
    forget_proxies()
    favour_event_loop()
    configure_logs(service="gateway", level=settings.log_level, log_format=settings.log_format)
    if settings.exit_with_parent:
        end_with_parent()
    with traced("gateway"):
        asyncio.run(_serve(settings))


async def _serve(settings: GatewaySettings) -> None:
    listening = _listen(settings.host, settings.port, "GATEWAY_PORT")
    # The web framework takes a second to import; a wrong setting or a taken port is told before that.
    from ui.gateway.app import create_app
    from ui.gateway.middleware.malformed import MAX_HEAD_BYTES, GatewayProtocol

    telemetry = Telemetry()
    server = _Server(
        uvicorn.Config(
            create_app(settings, telemetry),
            http=GatewayProtocol,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            server_header=False,
        )
    )
    metrics = TelemetryServer(telemetry, lambda: server.started)
    metrics_port = await _listen_for_metrics(metrics, settings)
    server.line = {
        "event": "serving",
        "service": "gateway",
        "http_address": "{}:{}".format(*listening.getsockname()[:2]),
        "metrics_address": f"{settings.metrics_host}:{metrics_port}",
        "pid": os.getpid(),
    }
    await server.serve(sockets=[listening])
    await metrics.stop()


class _Server(uvicorn.Server):
    line: dict[str, object]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The base class raises the signal again at the end, which would turn a clean stop into a death by signal.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # As in the services.
            gc.freeze()
            print(json.dumps(self.line), flush=True)


def _listen(host: str, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        _port_taken(host, port, variable, error)
    return listening


async def _listen_for_metrics(metrics: TelemetryServer, settings: GatewaySettings) -> int:
    try:
        return await metrics.start(settings.metrics_host, settings.metrics_port)
    except OSError as error:
        _port_taken(settings.metrics_host, settings.metrics_port, "GATEWAY_METRICS_PORT", error)


def _port_taken(host: str, port: int, variable: str, error: OSError) -> NoReturn:
    print(
        f"gateway: The address {host}:{port} cannot be bound ({error.strerror}). "
        f"Set {variable} to another port, or to 0 for any free one.",
        file=sys.stderr,
    )
    sys.exit(2)


if __name__ == "__main__":
    main()
