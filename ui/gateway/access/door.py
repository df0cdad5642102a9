"""The door of a gateway that asks for a login: everything passes it, and what has no rule does not."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from fastapi.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.errors import Busy, NotFound, PermissionDenied, ServiceError
from ui.gateway.access.access import Access
from ui.gateway.access.caller import CALL_KEY, Call, Caller, ask_for
from ui.gateway.access.rules import Rule, Rules
from ui.gateway.errors import Unauthenticated
from ui.openai.errors import refusal

COOKIE = "drillyard_session"
_SAFE_METHODS = ("GET", "HEAD")
# A page asks for a few things a second; a program that judges sends a few hundred.
_BURST_SECONDS = 10.0
_MAX_CALLERS = 10_000
_NO_CREDENTIALS = "The request says nothing of who sends it."
_SEND_KEY = "Send a key as `Authorization: Bearer KEY`, or log in at /login."
_FOREIGN = "A page of another site may not use this gateway."


class Door:
    """ASGI middleware directly in front of the application.

    A request passes when a rule names its route, it says who sends it by a key or a session, and that caller has a
    scope that the rule asks for. A browser's request must come from a page of this gateway, port included.

    Args:
        app: The application.
        access: Returns the accounts, once they are open.
        calls_per_minute: How often a caller may ask; 0: as often as they like.
        origin: Of the outside address; empty: that of the request's Host.
    """

    def __init__(self, app: ASGIApp, access: Callable[[], Access], calls_per_minute: int, origin: str = "") -> None:
        self._app, self._access, self._origin = app, access, origin
        self._rules, self._rates = Rules(), CallRates(calls_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401, 403, 404 or 429."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # No route of the gateway is one.
            await send({"type": "websocket.close", "code": 1008, "reason": "The gateway has no web sockets."})
            return
        request = _Request(scope)
        try:
            caller = await self._admitted(request)
        except ServiceError as error:
            response = _refusal(request, error)
            # By those whom nobody knows, and by those who ask too often, the log would only grow.
            if request.caller_name and not isinstance(error, Busy):
                self._access().log.note(request.caller_name, request.address, request.action(), response.status_code)
            await response(scope, receive, send)
            return
        if caller is not None:
            # A page's events say themselves what they are.
            call = scope[CALL_KEY] = Call(caller, "" if request.is_safe else request.action())
            send = self._noting(request, call, send)
            ask_for(caller)
        await self._app(scope, receive, send)

    async def _admitted(self, request: _Request) -> Caller | None:
        request.refuse_foreign_origin(self._origin)
        rules = self._rules.of(request.method, request.path)
        if rules and not any(rule.scopes for rule in rules):
            return None
        caller = await self._caller(request)
        request.caller_name = caller.name
        self._rates.count(caller.name)
        if not rules:
            raise NotFound(
                f"There is no {request.method} {request.path[:200]}.", "The API's paths are listed at /docs."
            )
        _refuse_without_scope(request, caller, rules)
        return caller

    async def _caller(self, request: _Request) -> Caller:
        if key := request.key:
            return await self._access().caller_of_key(key)
        if token := request.session_token:
            request.refuse_unless_own_page()
            return await self._access().caller_of_session(token)
        raise Unauthenticated(_NO_CREDENTIALS, _SEND_KEY)

    def _noting(self, request: _Request, call: Call, send: Send) -> Send:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and call.action:
                self._access().log.note(call.caller.name, request.address, call.action, message["status"])
            await send(message)

        return noting


class CallRates:
    """How often each caller may ask."""

    def __init__(self, calls_per_minute: int) -> None:
        self._per_second = calls_per_minute / 60
        self._burst = max(1.0, self._per_second * _BURST_SECONDS)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, caller: str, now: float | None = None) -> None:
        """Count a request of a caller.

        Raises:
            Busy: They ask more often than they may.
        """
        if not self._per_second:
            return
        now = time.monotonic() if now is None else now
        self._left[caller] = (self.check(caller, now) - 1, now)
        self._left.move_to_end(caller)
        if len(self._left) > _MAX_CALLERS:
            self._left.popitem(last=False)

    def give_back(self, caller: str) -> None:
        """Take back that a request of a caller was counted."""
        if entry := self._left.get(caller):
            self._left[caller] = (entry[0] + 1, entry[1])

    def check(self, caller: str, now: float | None = None) -> float:
        """Return how many requests a caller may send at once now.

        Raises:
            Busy: None.
        """
        now = time.monotonic() if now is None else now
        left, since = self._left.get(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        if left < 1:
            seconds = max(1, round((1 - left) / self._per_second + 0.5))
            raise Busy(
                f"{caller} asks more than {self._per_second * 60:.0f} times a minute.", retry_after_seconds=seconds
            )
        return left


class _Request:
    """What the door reads of a request."""

    def __init__(self, scope: Scope) -> None:
        self.caller_name = ""
        self.root: str = scope.get("root_path", "")
        self.path: str = scope["path"].removeprefix(self.root) or "/"
        self.verb: str = scope["method"]
        self.method = "GET" if self.verb == "HEAD" else self.verb
        self.is_safe = self.verb in _SAFE_METHODS
        # A proxy of this machine may say any; as in the path, nothing in it reaches a terminal as it is.
        self.address = quote((scope.get("client") or ("",))[0][:64], safe=":")
        self._query: bytes = scope.get("query_string", b"")
        self._headers = [(name.lower(), value) for name, value in scope["headers"]]

    @property
    def place(self) -> str:
        """Path and query."""
        query = self._query.decode("latin-1")
        return f"{self.path}?{query}" if query else self.path

    def action(self) -> str:
        """Return what the audit log tells of it."""
        return f"{self.verb[:10]} {quote(self.path[:200], safe='/:@=')}"

    @property
    def key(self) -> str:
        """The API key that it carries."""
        kind, _, key = self._header(b"authorization").partition(" ")
        # Anthropic's clients send a key under a name of its own.
        return key.strip() if kind.lower() == "bearer" else self._header(b"x-api-key").strip()

    @property
    def session_token(self) -> str:
        """The session that its cookie names."""
        pairs = (pair.strip().partition("=") for pair in self._header(b"cookie").split(";"))
        return next((value for name, _, value in pairs if name == COOKIE), "")

    @property
    def is_navigation(self) -> bool:
        """Whether a person wants to see a page."""
        return self.is_safe and "text/html" in self._header(b"accept")

    def refuse_foreign_origin(self, own: str) -> None:
        """Return unless the browser says that a page of another origin than its own sends it."""
        origin = self._header(b"origin")
        # Whether a proxy speaks TLS the request does not tell, so without an outside address the hosts are compared.
        is_own = origin == own if own else _host_of(origin) == self._header(b"host").lower() != ""
        if origin and not is_own:
            raise PermissionDenied(_FOREIGN, "Open the gateway's own page, or use a key from a program.")

    def refuse_unless_own_page(self) -> None:
        """Return unless another page could have made the browser send it along with the cookie."""
        site = self._header(b"sec-fetch-site")
        is_foreign = site not in ("", "same-origin", "none") and self._header(b"sec-fetch-mode") != "navigate"
        is_unproven = not self.is_safe and not self._header(b"origin") and site != "same-origin"
        if is_foreign or is_unproven:
            raise PermissionDenied(_FOREIGN, "Open the gateway's own page, or use a key from a program.")

    def _header(self, name: bytes) -> str:
        return next((value.decode("latin-1") for key, value in self._headers if key == name), "")


def _refuse_without_scope(request: _Request, caller: Caller, rules: list[Rule]) -> None:
    missing = next((rule.scopes for rule in rules if not caller.may(rule.scopes)), None)
    if missing is not None:
        names = " or ".join(sorted(missing))
        raise PermissionDenied(
            f"{request.method} {request.path[:200]} asks for the scope {names}, which {caller.name} does not have.",
            "Use a key with it, or ask the gateway's admin.",
        )


def _refusal(request: _Request, error: ServiceError) -> Response:
    if isinstance(error, Unauthenticated) and request.is_navigation:
        return RedirectResponse(f"{request.root}/login?next={quote(request.place, safe='/')}", 303)
    response = refusal(error, request.path)
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _host_of(origin: str) -> str:
    try:
        parts = urlsplit(origin)
        return "" if "@" in parts.netloc else parts.netloc.lower()
    except ValueError:
        return ""
