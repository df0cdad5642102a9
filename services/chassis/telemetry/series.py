"""Prometheus series of one service process, and the small HTTP server that shows them with its health."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
# Codes that say that a service broke, not that its caller was wrong.
FAULTS = ("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DATA_LOSS")
_MAX_REQUEST_BYTES = 8192
_READ_SECONDS = 5.0


class Telemetry:
    """The series of one process: RPCs by service, method and code, jobs by kind and state, and a service's own.

    Labels are closed sets: never an id or a name from a user.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        labels = ("grpc_service", "grpc_method")
        self._requests = self.counter("drillyard_rpc_requests", "RPCs ended.", (*labels, "code"))
        self._seconds = Histogram(
            "drillyard_rpc_duration_seconds", "Time per RPC.", labels, registry=self.registry, buckets=_BUCKETS
        )
        self._in_flight = self.gauge("drillyard_rpc_in_flight", "RPCs being answered.", labels)
        self._jobs = self.gauge("drillyard_jobs", "Jobs by kind and state.", ("kind", "state"))
        self._queue_ages = self.gauge("drillyard_jobs_queue_age_seconds", "Time that the oldest job waits.", ("kind",))
        self._unreadable = self.gauge("drillyard_jobs_unreadable", "Jobs set aside, which this release cannot read.")
        self._refreshers: list[Callable[[], Awaitable[None]]] = []

    def counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        """Return a new counter of this process; `_total` is added to `name`."""
        return Counter(name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        """Return a new gauge of this process."""
        return Gauge(name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, labels: tuple[str, ...] = (), *, buckets: tuple[float, ...]) -> Histogram:
        """Return a new histogram of this process."""
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)

    def on_scrape(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Await `refresh` before each scrape, to set gauges whose truth is in the database."""
        self._refreshers.append(refresh)

    def expect_rpcs(self, service: str, methods: Iterable[str]) -> None:
        """Show from the start how often each method of a service has broken: never.

        A series that begins with its first event hides that event from every rate.
        """
        for method in methods:
            for code in ("OK", *FAULTS):
                self._requests.labels(service, method, code)

    def rpc_started(self, service: str, method: str) -> None:
        """Count one more RPC in flight."""
        self._in_flight.labels(service, method).inc()

    def rpc_ended(self, service: str, method: str, *, code: str, seconds: float) -> None:
        """Count an RPC that ended with the status name `code` after `seconds`."""
        self._in_flight.labels(service, method).dec()
        self._requests.labels(service, method, code).inc()
        self._seconds.labels(service, method).observe(seconds)

    def set_jobs(
        self, counts: dict[tuple[str, str], int], queue_ages: dict[str, float], num_unreadable: int = 0
    ) -> None:
        """Show how many jobs there are per (kind, state), how long one waits per kind, and how many are set aside."""
        self._unreadable.set(num_unreadable)
        self._jobs.clear()
        for (kind, state), count in counts.items():
            self._jobs.labels(kind, state).set(count)
        for kind, seconds in queue_ages.items():
            self._queue_ages.labels(kind).set(seconds)

    async def render(self) -> bytes:
        """Return the text that Prometheus reads."""
        for refresh in self._refreshers:
            await refresh()
        return generate_latest(self.registry)


class TelemetryServer:
    """Answers GET `/metrics`, `/health/live` and `/health/ready` on the service's event loop.

    Liveness is the fact that the loop answers; readiness is what `is_ready` says.
    """

    def __init__(self, telemetry: Telemetry, is_ready: Callable[[], bool]) -> None:
        self._telemetry = telemetry
        self._is_ready = is_ready
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port that was bound.

        Raises:
            OSError: The port is in use.
        """
        self._server = await asyncio.start_server(self._answer, host, port, limit=_MAX_REQUEST_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _READ_SECONDS)
            status, body, content_type = await self._respond(head.split(b"\r\n", 1)[0])
            lines = (
                f"HTTP/1.1 {status}",
                f"Content-Type: {content_type}",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            writer.write("\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body)
            await asyncio.wait_for(writer.drain(), _READ_SECONDS)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _respond(self, request_line: bytes) -> tuple[str, bytes, str]:
        method, _, rest = request_line.partition(b" ")
        path = rest.split(b" ")[0].split(b"?")[0]
        if method != b"GET":
            return "405 Method Not Allowed", b"only GET\n", "text/plain"
        if path == b"/metrics":
            return "200 OK", await self._telemetry.render(), CONTENT_TYPE_LATEST
        if path == b"/health/live":
            return "200 OK", b"live\n", "text/plain"
        if path == b"/health/ready":
            return ("200 OK", b"ready\n", "text/plain") if self._is_ready() else _NOT_READY
        return "404 Not Found", b"try /metrics, /health/live or /health/ready\n", "text/plain"


_NOT_READY = ("503 Service Unavailable", b"not ready\n", "text/plain")
