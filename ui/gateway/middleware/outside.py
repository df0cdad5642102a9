"""The address at which a proxy shows the gateway: its origin, and the path below which everything lies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_PORTS = {"http": 80, "https": 443}
# What a proxy says of the address that was asked; the setting says it with certainty.
_SAID_BY_PROXIES = (b"forwarded", b"x-forwarded-", b"x-gradio-server")
_FROM_THE_ROOT = re.compile(rb'(\s(?:href|src)=")/(?!/)')


@dataclass(frozen=True)
class OutsideAddress:
    """An address such as `https://lab.example/drill`, in the form in which browsers send it.

    Attributes:
        scheme: `http` or `https`.
        host: Value of the header Host: lower case, with the port where it is not the scheme's own.
        path: Begins with a slash and does not end with one; empty for the root.
    """

    scheme: str
    host: str
    path: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read an address.

        Raises:
            ValueError: It is none, or has more than origin and path.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("give origin and path of the address that browsers see, such as https://lab.example/drill")
        if not _PATH.fullmatch(parts.path) or {".", ".."} & set(parts.path.split("/")):
            raise ValueError("the path may have letters, digits and . _ ~ - between single slashes")
        return cls(parts.scheme, _host(parts), parts.path.rstrip("/"))

    @property
    def origin(self) -> str:
        """Value of the header Origin."""
        return f"{self.scheme}://{self.host}"

    def __str__(self) -> str:
        """The address of the first page."""
        return f"{self.origin}{self.path}/"


class Outside:
    """ASGI middleware that lets the application see each request as the browser sent it to the outside address.

    Works with proxies that keep the path and with those that take it off.
    """

    def __init__(self, app: ASGIApp, address: OutsideAddress) -> None:
        self._app = app
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under the outside address; documents ask below its path."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = self._address.path
        if path and scope["path"] == path:
            # The pages' links are relative, so the first page ends with a slash.
            await RedirectResponse(f"{path}/", 308)(scope, receive, send)
            return
        # In place, since middleware around this one reads the route that the application notes in it.
        scope.update(self._seen_from_outside(scope))
        await self._app(scope, receive, _BelowPath(path, send) if path and scope["type"] == "http" else send)

    def _seen_from_outside(self, scope: Scope) -> Scope:
        path = self._address.path
        raw = scope.get("raw_path") or scope["path"].encode()
        is_kept = scope["path"].startswith(f"{path}/")
        headers = [(name, value) for name, value in scope["headers"] if not _is_replaced(name.lower())]
        is_secure = self._address.scheme == "https"
        schemes = {"http": ("http", "https"), "websocket": ("ws", "wss")}[scope["type"]]
        return {
            "root_path": path,
            "path": scope["path"] if is_kept else path + scope["path"],
            "raw_path": raw if is_kept else path.encode() + raw,
            "scheme": schemes[is_secure],
            "server": None,
            "headers": [(b"host", self._address.host.encode()), *headers],
        }


class _BelowPath:
    """Sends a response; where it names the root of the host, in a redirect or in an HTML document, it means the path.

    The page framework does so in both.
    """

    def __init__(self, path: str, send: Send) -> None:
        self._path = path.encode()
        self._send = send
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._move_location(MutableHeaders(scope=message))
            if _is_document(message):
                self._start = message
                return
        start, self._start = self._start, None
        if start is not None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                message = {**message, "body": self._below_path(message.get("body", b""))}
                MutableHeaders(scope=start)["content-length"] = str(len(message["body"]))
            await self._send(start)
        await self._send(message)

    def _move_location(self, headers: MutableHeaders) -> None:
        location = headers.get("location", "")
        if location.startswith("/") and not location.startswith(("//", f"{self._path.decode()}/")):
            headers["location"] = self._path.decode() + location

    def _below_path(self, document: bytes) -> bytes:
        return _FROM_THE_ROOT.sub(lambda match: match[1] + self._path + b"/", document)


def _host(parts: SplitResult) -> str:
    name = (parts.hostname or "").encode("idna").decode()
    named = f"[{name}]" if ":" in name else name
    return named if parts.port in (None, _PORTS[parts.scheme]) else f"{named}:{parts.port}"


def _is_replaced(name: bytes) -> bool:
    return name == b"host" or name.startswith(_SAID_BY_PROXIES)


def _is_document(message: Message) -> bool:
    headers = MutableHeaders(scope=message)
    return headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers
