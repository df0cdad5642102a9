"""The page on which a person logs in, and the cookie that remembers it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from services.chassis.errors import Busy
from ui.gateway.access.door import COOKIE, CallRates
from ui.gateway.access.routes import access_of
from ui.gateway.errors import Unauthenticated
from ui.shared.environment import render, stylesheet

router = APIRouter(include_in_schema=False)
# Of one address; a tenth of them at once.
_FAILURES_PER_MINUTE = 60


@router.get("/login")
async def show_login(request: Request, next: str = "/") -> Response:
    """Show the form, or the pages where nobody is asked."""
    return _form(next) if request.app.state.access else RedirectResponse(_below(request, "/"), 303)


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Begin a session and show the page that was asked for, or the form again."""
    access, form = access_of(request), await request.form(max_files=0, max_fields=10)
    place, secret = str(form.get("next", "/")), str(form.get("secret", "")).strip()
    name = str(form.get("name", "")).strip()
    address, failures = request.client.host if request.client else "", _failures_of(request)
    # One address guesses at many names, and many addresses at one name.
    origins = [address, f"user:{name[:100]}"] if name else [address]
    try:
        for origin in origins:
            failures.check(origin)
        caller = await (access.caller_of_password(name, secret) if name else access.caller_of_key(secret))
    except Busy as error:
        return _form(place, problem=str(error), status=429)
    except Unauthenticated as error:
        for origin in origins:
            failures.count(origin)
        access.log.note("", address, "POST /login", 401)
        return _form(place, problem=str(error), status=401)
    response = RedirectResponse(_below(request, place), 303)
    # Another token than any that the browser had before, so that nobody can have planted it.
    response.set_cookie(
        COOKIE,
        await access.log_in(caller),
        path=_path(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    access.log.note(caller.name, address, "POST /login", 303)
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session."""
    if token := request.cookies.get(COOKIE):
        await access_of(request).log_out(token)
    response = RedirectResponse(_below(request, "/login"), 303)
    response.delete_cookie(COOKIE, path=_path(request))
    return response


def _failures_of(request: Request) -> CallRates:
    state = request.app.state
    if not hasattr(state, "failed_logins"):
        state.failed_logins = CallRates(_FAILURES_PER_MINUTE)
    rates: CallRates = state.failed_logins
    return rates


def _form(place: str, *, problem: str = "", status: int = 200) -> HTMLResponse:
    page = render("gateway/login", style=Markup(stylesheet()), place=place, problem=problem)
    return HTMLResponse(page, status, {"Cache-Control": "no-store"})


def _path(request: Request) -> str:
    return request.scope.get("root_path", "") or "/"


def _below(request: Request, place: str) -> str:
    """Return the address of a page of this gateway; what may be one of another site becomes the first page."""
    is_own = place.startswith("/") and not place.startswith("//") and "\\" not in place and place.isprintable()
    return f"{request.scope.get('root_path', '')}{place if is_own else '/'}"
