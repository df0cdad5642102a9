"""The gRPC server of a service: servicers, health, reflection, limits, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from services.chassis.calls import CallInterceptor, CallLimit
from services.chassis.channel import LEAST_PING_INTERVAL_MS, MESSAGE_OPTIONS
from services.chassis.errors import FailedPrecondition
from services.chassis.machine.parent import ServiceToken
from services.chassis.machine.tls import TlsFolder
from services.chassis.telemetry import Telemetry

LIVENESS = "liveness"
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_OPTIONS: list[tuple[str, Any]] = [
    *MESSAGE_OPTIONS,
    # Without this two servers share one port on Linux and each gets half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_INTERVAL_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Clients reconnect now and then, so that new replicas get their share.
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 24 * 3_600_000),
]


class Server:
    """A grpc.aio server that tells the truth about its health.

    With a `token`, calls without it end as UNAUTHENTICATED, questions for health excepted. With `tls_dir`, clients
    without a certificate of the CA in it are not let in at all.

    Health is kept per service name and for the empty name; the name `liveness` is SERVING for as long as the
    process answers, for probes that must not restart it while its database is away.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        limit: CallLimit,
        token: ServiceToken | None = None,
        tls_dir: Path | None = None,
    ) -> None:
        self._draining = asyncio.Event()
        self._telemetry = telemetry
        self.tls = TlsFolder(tls_dir) if tls_dir else None
        interceptor = CallInterceptor(telemetry, limit, self._draining, token)
        self._server = grpc.aio.server(interceptors=[interceptor], options=_OPTIONS)
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._services: list[str] = []
        self.is_serving = False
        self.port = 0

    def add_servicer(self, add: Callable[[Any, Any], None], servicer: object, full_service_name: str) -> None:
        """Register a servicer with its generated `add_…Servicer_to_server`, before `start`."""
        methods = _MethodNames()
        add(servicer, methods)
        add(servicer, self._server)
        self._services.append(full_service_name)
        self._telemetry.expect_rpcs(full_service_name, methods.names)

    def bind(self, host: str, port: int, *, reflection: bool) -> int:
        """Take the port, after the last `add_servicer`, and return its number; calls wait until `start`.

        Raises:
            FailedPrecondition: The port is in use or may not be bound.
        """
        if reflection:
            from grpc_reflection.v1alpha import reflection as grpc_reflection

            names = [*self._services, "grpc.health.v1.Health", grpc_reflection.SERVICE_NAME]
            grpc_reflection.enable_server_reflection(names, self._server)
        try:
            if self.tls:
                self.port = self._server.add_secure_port(f"{host}:{port}", self.tls.server_credentials())
            else:
                self.port = self._server.add_insecure_port(f"{host}:{port}")
            return self.port
        except RuntimeError as error:
            raise FailedPrecondition(
                f"The address {host}:{port} cannot be bound; something else uses it or the host is not this machine's."
            ) from error

    async def start(self) -> None:
        """Answer calls; health says NOT_SERVING until `set_serving(True)`."""
        await self._health.set(LIVENESS, _SERVING)
        await self._set_health(False)
        await self._server.start()

    async def set_serving(self, is_serving: bool) -> None:
        """Tell all health watchers, unless the server drains: then it stays NOT_SERVING."""
        if not self._draining.is_set() and is_serving != self.is_serving:
            self.is_serving = is_serving
            await self._set_health(is_serving)

    async def drain(self, grace_seconds: float) -> None:
        """Say NOT_SERVING, refuse new RPCs, let those in flight end for `grace_seconds`, then cut them off.

        `Watch…` streams end at once with UNAVAILABLE; their clients take them up again elsewhere or later.
        """
        if self._draining.is_set():
            return
        await self.set_serving(False)
        self._draining.set()
        await self._server.stop(grace_seconds)

    async def _set_health(self, is_serving: bool) -> None:
        for name in ("", *self._services):
            await self._health.set(name, _SERVING if is_serving else _NOT_SERVING)


class _MethodNames:
    """Stands in for a server, to learn which methods a generated `add_…Servicer_to_server` registers."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Take what names no methods."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, object]) -> None:
        """Keep the names of the methods."""
        self.names = tuple(handlers)
