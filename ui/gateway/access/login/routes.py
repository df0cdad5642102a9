"""The page on which a person logs in, and the cookie that remembers it."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from services.chassis.errors import Busy, FailedPrecondition, ServiceError
from ui.gateway.access.caller import Caller
from ui.gateway.access.door import COOKIE, CallRates
from ui.gateway.access.login.oidc import LOGIN_SECONDS, OidcProvider
from ui.gateway.access.routes import access_of
from ui.gateway.errors import Unauthenticated, retry_headers, status_of
from ui.shared.environment import render, stylesheet

router = APIRouter(include_in_schema=False)
_LONGEST_PLACE = 2000
_LOGIN_COOKIE = "drillyard_login"
# Of one address; a tenth of them at once.
_FAILURES_PER_MINUTE = 60


@router.get("/login")
async def show_login(request: Request, next: str = "/") -> Response:
    """Show the form, or the pages where nobody is asked."""
    return _form(request, next) if request.app.state.access else RedirectResponse(_below(request, "/"), 303)


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Begin a session and show the page that was asked for, or the form again."""
    access, address, failures = access_of(request), _address(request), _failures_of(request)
    try:
        failures.check(address)
    except Busy as error:
        # Without a look at what is sent: who guesses shall cost little.
        return _form(request, "/", error)
    form = await request.form(max_files=0, max_fields=10)
    place, secret = str(form.get("next", "/")), str(form.get("secret", ""))
    name = str(form.get("name", "")).strip()
    # One address guesses at many names, and many addresses at one name.
    origins = [address, f"user:{name[:100]}"] if name else [address]
    try:
        for origin in origins:
            failures.check(origin)
        # Before it is looked at, so that a thousand at once are no more than a thousand one after another.
        for origin in origins:
            failures.count(origin)
        caller = await (access.caller_of_password(name, secret) if name else access.caller_of_key(secret.strip()))
    except Busy as error:
        return _form(request, place, error)
    except Unauthenticated as error:
        access.log.note("", address, "POST /login", 401)
        return _form(request, place, error)
    for origin in origins:
        failures.give_back(origin)
    return await _logged_in(request, caller, place, "POST /login")


@router.get("/login/oidc")
async def begin_oidc_login(request: Request, next: str = "/") -> Response:
    """Send the browser to the provider."""
    try:
        url, cookie = await _provider_of(request).begin(next, _callback(request))
    except ServiceError as error:
        return _refused(request, next, error)
    response = RedirectResponse(url, 303)
    _set_cookie(request, response, _LOGIN_COOKIE, cookie, max_age=LOGIN_SECONDS)
    return response


@router.get("/login/oidc/callback")
async def end_oidc_login(request: Request) -> Response:
    """Begin a session of the person whom the provider names."""
    cookie = request.cookies.get(_LOGIN_COOKIE, "")
    try:
        caller, place = await _provider_of(request).end(cookie, request.query_params, _callback(request))
    except ServiceError as error:
        return _refused(request, "/", error)
    response = await _logged_in(request, caller, place, "GET /login/oidc")
    response.delete_cookie(_LOGIN_COOKIE, path=_path(request))
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session."""
    access = access_of(request)
    if token := request.cookies.get(COOKIE):
        await access.log_out(token)
    response = RedirectResponse(_below(request, "/login"), 303)
    response.delete_cookie(COOKIE, path=_path(request))
    return response


async def _logged_in(request: Request, caller: Caller, place: str, action: str) -> Response:
    access = access_of(request)
    access.log.note(caller.name, _address(request), action, 303)
    response = RedirectResponse(_below(request, place), 303)
    # Another token than any that the browser had before, so that nobody can have planted it.
    _set_cookie(request, response, COOKIE, await access.log_in(caller))
    return response


def _refused(request: Request, place: str, error: ServiceError) -> HTMLResponse:
    address = _address(request)
    # Strangers may ask for this page as often as they like, but the log must not grow by all of it.
    with suppress(Busy):
        _failures_of(request).count(f"oidc:{address}")
        access_of(request).log.note("", address, "GET /login/oidc", status_of(error))
    return _form(request, place, error)


def _provider_of(request: Request) -> OidcProvider:
    provider = access_of(request).provider
    if provider is None:
        raise FailedPrecondition("This gateway has no provider of logins.", "Log in by a password or a key.")
    return provider


def _callback(request: Request) -> str:
    return f"{request.base_url}login/oidc/callback"


def _set_cookie(request: Request, response: Response, name: str, value: str, max_age: int | None = None) -> None:
    is_secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age, path=_path(request), secure=is_secure, httponly=True, samesite="lax")


def _address(request: Request) -> str:
    return quote((request.client.host if request.client else "")[:64], safe=":")


def _failures_of(request: Request) -> CallRates:
    state = request.app.state
    if not hasattr(state, "failed_logins"):
        state.failed_logins = CallRates(_FAILURES_PER_MINUTE)
    rates: CallRates = state.failed_logins
    return rates


def _form(request: Request, place: str, error: ServiceError | None = None) -> HTMLResponse:
    # Relative, since a proxy may show the gateway below any path.
    root = "../" * (request.url.path.removeprefix(request.scope.get("root_path", "")).count("/") - 1)
    # What is kept of a stranger's words is short.
    place = place if len(place) <= _LONGEST_PLACE else "/"
    page = _page(root, place, str(error or ""), access_of(request).provider is not None)
    headers = {"Cache-Control": "no-store", **(retry_headers(error) if error else {})}
    return HTMLResponse(page, status_of(error) if error else 200, headers)


@lru_cache(maxsize=100)
def _page(root: str, place: str, problem: str, has_provider: bool) -> str:
    style = Markup(stylesheet())
    return render("gateway/login", style=style, root=root, place=place, problem=problem, has_provider=has_provider)


def _path(request: Request) -> str:
    return request.scope.get("root_path", "") or "/"


def _below(request: Request, place: str) -> str:
    """Return the address of a page of this gateway; what may be one of another site becomes the first page."""
    is_own = place.startswith("/") and not place.startswith("//") and "\\" not in place and place.isprintable()
    return f"{request.scope.get('root_path', '')}{place if is_own else '/'}"
