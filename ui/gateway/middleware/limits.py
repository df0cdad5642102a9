"""Bounds the size of request bodies."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.gateway.errors import problem_response


class BodyLimit:
    """ASGI middleware that ends a request with 413 as soon as its body is larger than the limit."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while its body stays in bounds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _declared_bytes(scope) > self._max_bytes:
            response = problem_response("RESOURCE_EXHAUSTED", self._sentence(), "Send less in one request.", 413)
            await response(scope, receive, send)
            return
        await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        num_bytes = 0

        async def counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_bytes:
                raise HTTPException(413, self._sentence().rstrip("."))
            return message

        return counted

    def _sentence(self) -> str:
        return f"The request body is larger than {self._max_bytes} bytes."


def _declared_bytes(scope: Scope) -> int:
    for key, value in scope["headers"]:
        if key.lower() == b"content-length" and value.isdigit():
            return int(value)
    return 0
