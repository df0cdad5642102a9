"""Counts and times HTTP requests by method, route and status."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.telemetry import Telemetry, tracing

_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
_PREFIXES = ("/api/v1", "/v1")
_FAULTS = ("500", "501", "502", "503", "504")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpTelemetry:
    """ASGI middleware over the routes; the route label is a path template, never a path that a person typed.

    Args:
        app: What answers.
        telemetry: Where the series belong.
        models_routes: Method and path of the routes below `/v1`, whose faults an alert counts.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry, models_routes: Sequence[tuple[str, str]] = ()) -> None:
        self._app = app
        labels = ("method", "route")
        self._requests = telemetry.counter("drillyard_http_requests", "HTTP requests ended.", (*labels, "status"))
        self._seconds = telemetry.histogram(
            "drillyard_http_duration_seconds",
            "Time per HTTP request.",
            labels,
            buckets=_BUCKETS,
        )
        self._in_flight = telemetry.gauge("drillyard_http_in_flight", "HTTP requests being answered.")

        # A series that begins with its first event hides that event from every rate.
        for method, route in models_routes:
            for status in ("200", *_FAULTS):
                self._requests.labels(method, f"/v1{route}", status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count it when it ends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = time.monotonic()
        self._in_flight.inc()
        method = scope["method"] if scope["method"] in _METHODS else "other"
        with tracing.span(method, "SERVER", parent=_traceparent(scope)) as facts:
            try:
                await self._app(scope, receive, noting)
            finally:
                self._in_flight.dec()
                labels = (method, _route(scope))
                self._requests.labels(*labels, str(status)).inc()
                self._seconds.labels(*labels).observe(time.monotonic() - start)
                facts.name, facts.error = " ".join(labels), str(status) if status >= 500 else ""
                facts.attributes |= {"http.route": labels[1], "http.response.status_code": status}


def _traceparent(scope: Scope) -> str:
    name = tracing.TRACEPARENT.encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _route(scope: Scope) -> str:
    path: str = getattr(scope.get("route"), "path", "")
    request = scope["path"].removeprefix(scope.get("root_path", ""))
    prefix = next((item for item in _PREFIXES if request.startswith(f"{item}/")), "")
    if not prefix or not path:
        return "page"
    # A route of an included router knows its own part of the path only.
    return path if path.startswith(prefix) else prefix + path
