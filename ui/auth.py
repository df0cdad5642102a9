"""Who may talk to the gateway: without authentication, only this machine's own programs and pages."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from ui.errors import problem_response
from ui.settings import is_loopback

_REFUSAL = "The gateway has no authentication, so it answers only requests addressed to this machine itself."
_NEXT_STEP = "Open it as http://127.0.0.1 with its port, on this machine or through a port-forward."


class LoopbackOnly:
    """ASGI middleware in front of the whole application, mounted pages and web sockets included.

    A request passes when its one `Host` is a loopback name and its `Origin`, if any, is one too. That keeps other
    machines out and, by `Origin` and by DNS rebinding, the web sites that a person has open in the same browser.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] not in ("http", "websocket") or _is_from_here(scope):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": _REFUSAL})
            return
        await problem_response("PERMISSION_DENIED", _REFUSAL, _NEXT_STEP, 403)(scope, receive, send)


def _is_from_here(scope: Scope) -> bool:
    hosts = _header(scope, b"host")
    origins = _header(scope, b"origin")
    return len(hosts) == 1 and is_loopback(_name(f"//{hosts[0]}")) and all(is_loopback(_name(one)) for one in origins)


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _name(url: str) -> str:
    try:
        parts = urlsplit(url)
        return "" if "@" in parts.netloc else parts.hostname or ""
    except ValueError:
        return ""
