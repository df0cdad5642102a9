"""API keys, users and sessions, and what has been done with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.chassis.machine.caller import DEFAULT_WORKSPACE
from ui.gateway.access.caller import Scope


@dataclass(frozen=True)
class ApiKey:
    """A key for programs; of its secret only a hash is kept.

    Attributes:
        key_id: Its name, which no other key ever had.
        scopes: What it allows.
        secret_hash: By argon2.
        excerpt: 16 bits of the secret's digest.
        creator: Name of the caller who made it.
        expire_time: From then on it is refused; None: never.
        workspace_id: To which belongs what is made with it.
    """

    key_id: str
    scopes: tuple[Scope, ...]
    secret_hash: str
    excerpt: str
    creator: str
    create_time: datetime
    expire_time: datetime | None = None
    last_use_time: datetime | None = None
    revoke_time: datetime | None = None
    workspace_id: str = DEFAULT_WORKSPACE


@dataclass(frozen=True)
class User:
    """A person who logs in by a name and a password; of that only a hash is kept.

    Attributes:
        user_id: Their name.
        role: One of `ROLES`.
        password_hash: By argon2.
        creator: Name of the caller who added them.
        workspace_id: To which belongs what they make.
    """

    user_id: str
    role: str
    password_hash: str
    creator: str
    create_time: datetime
    workspace_id: str = DEFAULT_WORKSPACE


@dataclass(frozen=True)
class Session:
    """A login in one browser.

    Attributes:
        token_digest: Digest of the cookie's token.
        caller: Name of who logged in; a session ends with the key or user of that name.
        scopes: What it allows.
        expire_time: When it ends by itself.
        workspace_id: To which belongs what is made with it.
    """

    token_digest: str
    caller: str
    scopes: tuple[Scope, ...]
    create_time: datetime
    expire_time: datetime
    workspace_id: str = DEFAULT_WORKSPACE


@dataclass(frozen=True)
class AuditEvent:
    """Something that a caller did, or was refused.

    Attributes:
        sequence: Its place in the log.
        time: When it ended.
        caller: Name of the caller; empty for nobody who is known.
        address: Where the request came from.
        action: Method and path, or the event of a page; never a query or a body.
        status: Status of the answer.
    """

    sequence: int
    time: datetime
    caller: str
    address: str
    action: str
    status: int
