"""Who may talk to the gateway: without authentication, only this machine's own programs and pages."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from services.chassis.errors import PermissionDenied
from services.chassis.settings import is_loopback
from ui.gateway.middleware.outside import OutsideAddress
from ui.openai.errors import refusal

_REFUSAL = (
    "The gateway has no authentication, so it answers only requests whose headers Host and Origin name this machine"
)
_NEXT_STEP = (
    "Open it as http://127.0.0.1 with its port, on this machine or through a port-forward. Behind a proxy that "
    "authenticates, set GATEWAY_OUTSIDE_URL (`drillyard up --outside-url`) to the address that browsers see; without "
    "it the proxy must rewrite Host and Origin, and a path of its own is not possible."
)


class LoopbackOnly:
    """ASGI middleware in front of the whole application, mounted pages and web sockets included.

    A request passes when its one `Host` is a loopback name and its `Origin`, if any, is one too. That keeps other
    machines out and, by `Origin` and by DNS rebinding, the web sites that a person has open in the same browser.
    Where a proxy that authenticates stands in front, the exact host and origin of its address pass too.
    """

    def __init__(self, app: ASGIApp, outside: OutsideAddress | None = None) -> None:
        self._app = app
        self._host = outside.host if outside else ""
        self._origin = outside.origin if outside else ""
        self._path = outside.path if outside else ""
        self._refusal = f"{_REFUSAL} or {outside}." if outside else f"{_REFUSAL}."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] not in ("http", "websocket") or self._is_expected(scope):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "Host or Origin is not expected."})
            return
        error = PermissionDenied(self._refusal, _NEXT_STEP)
        await refusal(error, scope["path"].removeprefix(self._path))(scope, receive, send)

    def _is_expected(self, scope: Scope) -> bool:
        hosts, origins = _header(scope, b"host"), _header(scope, b"origin")
        return len(hosts) == 1 and self._is_host(hosts[0]) and all(self._is_origin(origin) for origin in origins)

    def _is_host(self, host: str) -> bool:
        return is_loopback(_name(f"//{host}")) or (bool(host) and host.lower() == self._host)

    def _is_origin(self, origin: str) -> bool:
        return is_loopback(_name(origin)) or (bool(origin) and origin == self._origin)


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _name(url: str) -> str:
    try:
        parts = urlsplit(url)
        return "" if "@" in parts.netloc else parts.hostname or ""
    except ValueError:
        return ""
