"""The page Settings: who I am, what my workspace uses, and for an admin accounts, quotas, notices and the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from starlette.datastructures import FormData

from services.chassis.errors import InvalidArgument, ServiceError
from services.chassis.machine.caller import DEFAULT_WORKSPACE
from ui.gateway.access.access import Access
from ui.gateway.access.caller import CALL_KEY, ROLES, Call, Caller, Scope
from ui.gateway.access.routes import access_of, caller_of
from ui.gateway.access.workspaces.quotas import Quotas
from ui.gateway.access.workspaces.routes import visible_to
from ui.gateway.access.workspaces.workspace import Use
from ui.gateway.errors import status_of
from ui.gateway.storage.section import GARBAGE_ACTIONS, storage_sections
from ui.shared.environment import PAGES, render, script, stylesheet
from ui.shipping.notices.settings import NOTICE_ACTIONS, notices_section

router = APIRouter(include_in_schema=False)
_NUM_EVENTS = 20
# In which field a form says what it is about: the workspace last, since a key or a user has one too.
_SUBJECTS = ("key_id", "user_id", "subscription_id", "workspace_id")
_USE_SECONDS = 2.0
# Of any quota.
_MAX_DIGITS = 19


@router.get("/settings")
async def show_settings(request: Request) -> HTMLResponse:
    """Show the page."""
    return await _page(request)


@router.post("/settings")
async def change_settings(request: Request) -> HTMLResponse:
    """Do what one of the page's forms says, and show the page as it is then."""
    form = await request.form(max_files=0, max_fields=20)
    action = str(form.get("action", ""))
    subject = next((str(form[name]) for name in _SUBJECTS if form.get(name)), "")
    # Where nobody is asked for a login, nothing is noted.
    request.scope.get(CALL_KEY, Call(caller_of(request), "")).action = f"settings {action[:20]} {subject[:40]}"
    try:
        if action in NOTICE_ACTIONS:
            return await _page(request, secret=await NOTICE_ACTIONS[action](request.app.state.clients, form))
        if action in GARBAGE_ACTIONS:
            return await _page(request, action=action)
        access = access_of(request)
        if action not in _ACTIONS:
            raise InvalidArgument("The form says nothing that can be done.", "Load the page again.")
        key = await _ACTIONS[action](access, form, caller_of(request))
    except ServiceError as error:
        return await _page(request, problem=str(error), status=status_of(error))
    return await _page(request, key=key)


async def _create_key(access: Access, form: FormData, caller: Caller) -> str:
    days = str(form.get("expire_days", ""))
    if not days.isdecimal() or len(days) > 4 or int(days) > 3650:
        raise InvalidArgument("The number of days is none.", "Use 0 to 3650; 0 is for ever.")
    expire_time = datetime.now(UTC) + timedelta(days=int(days)) if int(days) else None
    scopes = [Scope(name) for name in map(str, form.getlist("scope")) if name in set(Scope)]
    place = str(form.get("workspace_id") or DEFAULT_WORKSPACE)
    made = access.create_key(
        str(form.get("key_id")), scopes, expire_time=expire_time, creator=caller, workspace_id=place
    )
    return (await made)[1]


async def _revoke_key(access: Access, form: FormData, _caller: Caller) -> str:
    await access.revoke_key(str(form.get("key_id")))
    return ""


async def _create_user(access: Access, form: FormData, caller: Caller) -> str:
    facts = (str(form.get(name, "")) for name in ("user_id", "role", "password"))
    place = str(form.get("workspace_id") or DEFAULT_WORKSPACE)
    await access.create_user(*facts, creator=caller, workspace_id=place)
    return ""


async def _delete_user(access: Access, form: FormData, _caller: Caller) -> str:
    await access.delete_user(str(form.get("user_id")))
    return ""


async def _set_workspace(access: Access, form: FormData, caller: Caller) -> str:
    texts = [str(form.get(name) or "0") for name in ("max_jobs", "max_tokens", "max_bytes")]
    if not all(text.isdecimal() and len(text) <= _MAX_DIGITS for text in texts):
        raise InvalidArgument("A quota is no whole number.", "Use 0 for none.")
    max_jobs, max_tokens, max_bytes = map(int, texts)
    await access.workspaces.set_quotas(
        str(form.get("workspace_id", "")), (max_jobs, max_tokens, max_bytes), creator=caller
    )
    return ""


async def _delete_workspace(access: Access, form: FormData, _caller: Caller) -> str:
    await access.workspaces.delete(str(form.get("workspace_id", "")))
    return ""


_ACTIONS: dict[str, Callable[[Access, FormData, Caller], Awaitable[str]]] = {
    "create-key": _create_key,
    "revoke-key": _revoke_key,
    "create-user": _create_user,
    "delete-user": _delete_user,
    "set-workspace": _set_workspace,
    "delete-workspace": _delete_workspace,
}


async def _use(quotas: Quotas) -> Mapping[str, Use] | None:
    """Return what the workspaces use; None while a service does not answer."""
    try:
        return await asyncio.wait_for(quotas.use(), _USE_SECONDS)
    except (ServiceError, TimeoutError):
        return None


async def _page(
    request: Request, *, problem: str = "", key: str = "", secret: str = "", status: int = 200, action: str = ""
) -> HTMLResponse:
    state = request.app.state
    caller, access = caller_of(request), state.access
    is_admin = access is not None and Scope.ADMIN in caller.scopes
    facts: dict[str, Any] = {"workspaces": [], "use": {}}
    if access is not None:
        workspaces = await visible_to(caller, access.workspaces)
        facts = {"workspaces": workspaces, "use": await _use(state.quotas)}
    if is_admin:
        events = await access.log.events(limit=_NUM_EVENTS)
        facts |= {"keys": await access.keys(), "users": await access.users(), "events": events}
    may_tell = Scope.ADMIN in caller.scopes
    page = render(
        "gateway/settings",
        style=Markup(stylesheet()),
        script=Markup(script()),
        notices=Markup(await notices_section(state.clients, secret)) if may_tell else "",
        storage=await storage_sections(state.clients, state.garbage, action) if may_tell else "",
        header=Markup(render("shared/header", pages=PAGES, current="Settings")),
        caller=caller if access is not None else None,
        scopes=", ".join(sorted(caller.scopes)),
        is_admin=is_admin,
        every_scope=list(Scope),
        roles=list(ROLES),
        problem=problem,
        key=key,
        **facts,
    )
    return HTMLResponse(page, status, {"Cache-Control": "no-store"})
