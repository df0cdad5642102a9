"""REST routes of API keys, of the audit log, and of who asks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.chassis.machine.caller import DEFAULT_WORKSPACE
from ui.gateway.access.access import Access
from ui.gateway.access.accounts import ApiKey, User
from ui.gateway.access.caller import CALL_KEY, EVERY_SCOPE, ROLES, Call, Caller, Scope
from ui.shared.documents import Document, Page
from ui.shared.rpc import ContractRoute

_SECRET = ("secret_hash", "excerpt", "password_hash")
_NOBODY = Caller("", EVERY_SCOPE)
# So many a database counts to.
_MAX_DIGITS = 18
router = APIRouter(tags=["access"], route_class=ContractRoute)


class KeyBody(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    key_id: str = Field(description="Its name: up to 40 of a-z, 0-9 and inner hyphens.", examples=["ci"])
    scopes: list[Scope] = Field(description="What it allows; `admin` allows everything.", examples=[["read", "test"]])
    expire_days: float = Field(default=90, ge=0, le=3650, description="Valid for so long; 0: for ever.")
    workspace_id: str = Field(default=DEFAULT_WORKSPACE, description="To which belongs what is made with it.")


class UserBody(BaseModel):
    """A user to add."""

    model_config = ConfigDict(extra="forbid")

    user_id: str = Field(description="Their name: up to 40 of a-z, 0-9 and inner hyphens.", examples=["ann"])
    role: str = Field(description=f"What they may do: {', '.join(ROLES)}.", examples=["trainer"])
    password: SecretStr = Field(description="12 to 200 characters.")
    workspace_id: str = Field(default=DEFAULT_WORKSPACE, description="To which belongs what they make.")


def access_of(request: Request) -> Access:
    """Return the application's accounts.

    Raises:
        FailedPrecondition: The gateway asks nobody for a login.
    """
    access: Access | None = request.app.state.access
    if access is None:
        raise FailedPrecondition(
            "This gateway asks nobody for a login, so it has no keys.", "Start it with `drillyard up --authentication`."
        )
    return access


def caller_of(request: Request) -> Caller:
    """Return who sends a request; where nobody is asked, a caller without a name who may do everything."""
    call: Call | None = request.scope.get(CALL_KEY)
    return call.caller if call else _NOBODY


AccessOf = Annotated[Access, Depends(access_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]


@router.get("/caller")
async def get_caller(caller: CallerOf) -> Document:
    """Return who sends the request, what they may do, and to which workspace belongs what they make."""
    return {
        "caller": {"name": caller.name, "scopes": sorted(caller.scopes), "workspace_id": caller.workspace_id},
    }


@router.post("/api-keys")
async def create_api_key(access: AccessOf, caller: CallerOf, body: KeyBody) -> Document:
    """Make a key, and tell it this once."""
    expire_time = datetime.now(UTC) + timedelta(days=body.expire_days) if body.expire_days else None
    key, text = await access.create_key(
        body.key_id, body.scopes, expire_time=expire_time, creator=caller, workspace_id=body.workspace_id
    )
    return {"api_key": account_document(key), "key": text}


@router.get("/api-keys")
async def list_api_keys(access: AccessOf) -> Document:
    """List all keys, newest first, without what they are."""
    return {"api_keys": [account_document(key) for key in await access.keys()]}


@router.post("/api-keys/{key_id}/revoke")
async def revoke_api_key(access: AccessOf, key_id: str) -> Document:
    """Refuse a key from now on, and end the sessions that were opened with it."""
    await access.revoke_key(key_id)
    return {}


@router.post("/users")
async def create_user(access: AccessOf, caller: CallerOf, body: UserBody) -> Document:
    """Add a user, who logs in by name and password."""
    password = body.password.get_secret_value()
    user = await access.create_user(body.user_id, body.role, password, creator=caller, workspace_id=body.workspace_id)
    return {"user": account_document(user)}


@router.get("/users")
async def list_users(access: AccessOf) -> Document:
    """List all users by name."""
    return {"users": [account_document(user) for user in await access.users()]}


@router.delete("/users/{user_id}")
async def delete_user(access: AccessOf, user_id: str) -> Document:
    """Forget a user, and end their sessions."""
    await access.delete_user(user_id)
    return {}


@router.get("/audit-events")
async def list_audit_events(
    access: AccessOf, page: Page, caller: Annotated[str, Query(description="Such as `key:ci`; empty: all.")] = ""
) -> Document:
    """List what was done, and what was refused to whom, newest first."""
    if page["page_token"] and not (page["page_token"].isdecimal() and len(page["page_token"]) <= _MAX_DIGITS):
        raise InvalidArgument("The page token is none.", "Give `next_page_token` of the page before.")
    size = page["page_size"]
    events = await access.log.events(caller=caller, before=int(page["page_token"] or 0), limit=size)
    token = str(events[-1].sequence) if len(events) == size else ""
    return {"audit_events": [texts(asdict(event)) for event in events], "next_page_token": token}


def account_document(account: ApiKey | User) -> Document:
    """Return what may be told of a key or a user."""
    return {name: value for name, value in texts(asdict(account)).items() if name not in _SECRET}


def texts(facts: dict[str, Any]) -> Document:
    """Return facts as JSON has them: times as texts, in UTC."""
    return {name: _text(value) for name, value in facts.items()}


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value
