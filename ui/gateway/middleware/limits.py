"""Bounds how many requests are answered at once, and the size and the time of their bodies."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.errors import Busy, ServiceError, TooLarge
from ui.gateway.settings import GatewaySettings
from ui.openai.errors import refusal

# A body may take its pause limit, and as much longer as its bytes need at this speed.
_LEAST_BYTES_PER_SECOND = 10_000


class RequestLimits:
    """ASGI middleware that refuses a request with 429 when as many as allowed are being answered.

    A request whose body is larger than the limit ends with 413 as soon as it is, one whose body comes too slowly with
    408, and one whose body has no room beside the others with 429.
    """

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        self._app = app
        self._settings = settings
        self._outside_path = settings.outside.path if settings.outside else ""
        self._num_requests = 0
        self._num_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while it stays in bounds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._settings.max_body_bytes
        if _is_json(scope):
            # Reading JSON takes its time at once and many times its size of memory; a file is kept as it comes.
            max_bytes = min(max_bytes, self._settings.max_json_bytes)
        declared_bytes = _declared_bytes(scope)
        if declared_bytes > max_bytes:
            await self._refuse(TooLarge(_too_large(max_bytes), "Send less in one request."), scope, receive, send)
            return
        if self._num_requests >= self._settings.max_requests or not self._has_room(declared_bytes):
            await self._refuse(Busy("The gateway is answering as many requests as it may."), scope, receive, send)
            return
        body = _Body(self, max_bytes, self._settings.max_body_seconds, receive)
        self._num_requests += 1
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._num_requests -= 1
            self._num_bytes -= body.num_bytes

    async def _refuse(self, error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(self._outside_path)
        await refusal(error, path)(scope, receive, send)

    def take(self, num_bytes: int) -> None:
        """Count bytes of a body that came.

        Raises:
            HTTPException: They have no room beside the bodies of the other requests.
        """
        if not self._has_room(num_bytes):
            raise HTTPException(429, "the bodies of other requests fill the memory", {"Retry-After": "5"})
        self._num_bytes += num_bytes

    def _has_room(self, num_bytes: int) -> bool:
        return self._num_bytes + num_bytes <= self._settings.max_bodies_bytes


class _Body:
    """The body of one request as it comes."""

    def __init__(self, limits: RequestLimits, max_bytes: int, max_seconds: float, receive: Receive) -> None:
        self._limits, self._max_bytes, self._max_seconds, self._receive = limits, max_bytes, max_seconds, receive
        self._is_complete = False
        self._seconds = 0.0
        self.num_bytes = 0

    async def receive(self) -> Message:
        """Return the next part; after the last one, that the client is gone."""
        if self._is_complete:
            return await self._receive()
        message = await self._part()
        self._is_complete = not message.get("more_body")
        num_bytes = len(message.get("body", b""))
        if self.num_bytes + num_bytes > self._max_bytes:
            raise HTTPException(413, _too_large(self._max_bytes).rstrip("."))
        self._limits.take(num_bytes)
        self.num_bytes += num_bytes
        return message

    async def _part(self) -> Message:
        start = time.monotonic()
        left = self._max_seconds + self.num_bytes / _LEAST_BYTES_PER_SECOND - self._seconds
        try:
            async with asyncio.timeout(left):
                return await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, "the body comes too slowly") from error
        finally:
            self._seconds += time.monotonic() - start


def _too_large(max_bytes: int) -> str:
    """Return the sentence on a body that is larger than the limit."""
    return f"The request body is larger than {max_bytes} bytes."


def _is_json(scope: Scope) -> bool:
    """Return whether the body is read as JSON, which one of no type is too."""
    kind = _header(scope, b"content-type").partition(b";")[0].strip().lower()
    return not kind or kind == b"application/json" or kind.endswith(b"+json")


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key.lower() == name), b"")


def _declared_bytes(scope: Scope) -> int:
    text = _header(scope, b"content-length")
    return int(text) if text.isdigit() else 0
