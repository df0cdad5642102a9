"""The accounts of a gateway that asks for a login: keys and sessions are verified, made, listed and ended here."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from services.chassis.errors import InvalidArgument
from services.chassis.machine.caller import DEFAULT_WORKSPACE
from ui.gateway.access.accounts import ApiKey, Session, User
from ui.gateway.access.audit import AuditLog
from ui.gateway.access.caller import EVERY_SCOPE, ROLES, Caller, Scope
from ui.gateway.access.secrets import (
    SecretHasher,
    derived_key,
    digest_of,
    excerpt_of,
    is_equal,
    new_key,
    parts_of,
    token_for,
    unsigned,
)
from ui.gateway.access.workspaces.workspaces import Workspaces
from ui.gateway.errors import Unauthenticated

if TYPE_CHECKING:
    from ui.gateway.access.login.oidc import OidcProvider
    from ui.gateway.access.store.accounts import SqlAccounts

K = TypeVar("K")
V = TypeVar("V")
ADMIN = "key:initial-admin"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_NAME_HINT = "Use up to 40 of a-z, 0-9 and inner hyphens."
_MIN_PASSWORD, _MAX_PASSWORD = 12, 200
# What another replica has revoked is refused here after so long; what this one revoked, at once.
_FRESH_SECONDS = 10.0
_MAX_CACHED = 10_000
_SESSION_TIME = timedelta(hours=12)
_NEXT_STEP = "Send a key as `Authorization: Bearer KEY`, or log in at /login."


class Access:
    """Who is known to the gateway.

    The initial admin's key stands in a file, so that there is a first key to make others with. Changing it ends all
    sessions, whose tokens are signed by it.
    """

    def __init__(self, store: SqlAccounts, admin_key: str, log: AuditLog) -> None:
        self._store, self._admin_key, self.log = store, admin_key, log
        self._signing_key = derived_key(admin_key, "sessions")
        self.provider: OidcProvider | None = None
        self.workspaces: Workspaces
        self._cache_key = secrets.token_bytes(32)
        self._hasher = SecretHasher()
        self._keys: dict[str, ApiKey] = {}
        self._keys_time = -math.inf
        self._reading: asyncio.Task[None] | None = None
        self._num_changes = 0
        self._verified: OrderedDict[bytes, bool] = OrderedDict()
        self._sessions: OrderedDict[str, tuple[float, Session | None]] = OrderedDict()

    async def caller_of_key(self, text: str) -> Caller:
        """Return whose an API key is.

        Raises:
            Unauthenticated: It is none, or is no longer valid.
        """
        if is_equal(text, self._admin_key):
            return Caller(ADMIN, EVERY_SCOPE)
        parts = parts_of(text)
        key = await self._key(parts[0]) if parts else None
        if parts is None or key is None or not await self._is_secret_of(key, parts[1]):
            raise Unauthenticated("The key is not one of this gateway.", "Ask its admin for a key.")
        _refuse_ended(key)
        self.log.note_use(key.key_id)
        return Caller(f"key:{key.key_id}", frozenset(key.scopes), key.workspace_id)

    async def caller_of_session(self, token: str) -> Caller:
        """Return who has logged in with the session of a token.

        Raises:
            Unauthenticated: It is none, or has ended.
        """
        session = await self._session(digest_of(token)) if unsigned(token, self._signing_key) else None
        if session is None or session.expire_time <= datetime.now(UTC):
            raise Unauthenticated("The session has ended.", "Log in again at /login.")
        if session.caller.startswith("key:") and session.caller != ADMIN:
            # A key that was revoked, or has expired, takes its sessions along.
            key = await self._key(session.caller.removeprefix("key:"))
            if key is None:
                raise Unauthenticated("The session's key is gone.", _NEXT_STEP)
            _refuse_ended(key)
        return Caller(session.caller, frozenset(session.scopes), session.workspace_id)

    async def caller_of_password(self, user_id: str, password: str) -> Caller:
        """Return the user of a name and a password; which of the two is wrong, neither answer nor time tells.

        Raises:
            Unauthenticated: They do not go together.
        """
        user = await self._store.user(user_id) if _NAME.fullmatch(user_id) else None
        is_right = await self._hasher.is_hash_of(user.password_hash if user else "", password[:_MAX_PASSWORD])
        if user is None or not is_right:
            raise Unauthenticated("Name and password do not go together.", "Try again, or ask the gateway's admin.")
        return Caller(f"user:{user.user_id}", ROLES[user.role], user.workspace_id)

    async def create_user(
        self, user_id: str, role: str, password: str, *, creator: Caller, workspace_id: str = DEFAULT_WORKSPACE
    ) -> User:
        """Add a user.

        Raises:
            AlreadyExists: There is one of that name.
            InvalidArgument: Name or role is none, or the password is too short or too long.
            NotFound: There is no such workspace.
        """
        if not _NAME.fullmatch(user_id):
            raise InvalidArgument(f"{user_id!r} is no name of a user.", _NAME_HINT, field="user_id")
        if role not in ROLES:
            raise InvalidArgument(f"There is no role {role!r}.", f"Use one of {', '.join(ROLES)}.", field="role")
        if not _MIN_PASSWORD <= len(password) <= _MAX_PASSWORD:
            raise InvalidArgument(
                "The password is too short or too long.",
                f"Use {_MIN_PASSWORD} to {_MAX_PASSWORD} characters.",
                field="password",
            )
        await self._check_workspace(workspace_id)
        password_hash = await self._hasher.hash_of(password)
        user = User(user_id, role, password_hash, creator.name, datetime.now(UTC), workspace_id)
        await self._store.add_user(user)
        return user

    async def users(self) -> list[User]:
        """Return all users by name."""
        return await self._store.users()

    async def delete_user(self, user_id: str) -> None:
        """Forget a user, and end their sessions.

        Raises:
            NotFound: There is no such user.
        """
        await self._store.delete_user(user_id)
        self._forget()

    async def log_in(self, caller: Caller) -> str:
        """Return the token of a new session of a caller."""
        token, now = token_for(self._signing_key), datetime.now(UTC)
        scopes = tuple(sorted(caller.scopes))
        ends = now + _SESSION_TIME
        await self._store.add_session(
            Session(digest_of(token), caller.name, scopes, now, ends, workspace_id=caller.workspace_id)
        )
        return token

    async def log_out(self, token: str) -> None:
        """End the session of a token."""
        if unsigned(token, self._signing_key):
            await self._store.delete_session(digest_of(token))
            self._forget()

    async def create_key(
        self,
        key_id: str,
        scopes: Iterable[Scope],
        *,
        expire_time: datetime | None,
        creator: Caller,
        workspace_id: str = DEFAULT_WORKSPACE,
    ) -> tuple[ApiKey, str]:
        """Make a key, and return it with its text, which is told this once.

        Raises:
            AlreadyExists: A key has, or had, its id.
            InvalidArgument: The id has no such form, there is no scope, or the key would have expired.
            NotFound: There is no such workspace.
        """
        if not _NAME.fullmatch(key_id) or f"key:{key_id}" == ADMIN:
            raise InvalidArgument(f"{key_id!r} is no name of a key.", _NAME_HINT, field="key_id")
        if not (unique := tuple(sorted(set(scopes)))):
            raise InvalidArgument("A key needs a scope.", f"Name one of {', '.join(Scope)}.", field="scopes")
        now = datetime.now(UTC)
        if expire_time is not None and expire_time <= now:
            raise InvalidArgument("The key would have expired.", "Give a time to come.", field="expire_time")
        await self._check_workspace(workspace_id)
        text, secret = new_key(key_id)
        key = ApiKey(
            key_id=key_id,
            scopes=unique,
            secret_hash=await self._hasher.hash_of(secret),
            excerpt=excerpt_of(secret),
            creator=creator.name,
            create_time=now,
            expire_time=expire_time,
            workspace_id=workspace_id,
        )
        await self._store.add_key(key)
        self._forget()
        return key, text

    async def keys(self) -> list[ApiKey]:
        """Return all keys, newest first."""
        return await self._store.keys()

    async def revoke_key(self, key_id: str) -> None:
        """Refuse a key from now on.

        Raises:
            NotFound: There is no such key.
        """
        await self._store.revoke_key(key_id, datetime.now(UTC))
        self._forget()

    async def _check_workspace(self, workspace_id: str) -> None:
        if workspace_id != DEFAULT_WORKSPACE:
            await self.workspaces.get(workspace_id)

    def _forget(self) -> None:
        """Read everything anew from now on, since something was changed; what is being read is of before."""
        self._num_changes += 1
        self._keys_time, self._reading = -math.inf, None
        self._sessions.clear()

    async def _key(self, key_id: str) -> ApiKey | None:
        while time.monotonic() - self._keys_time > _FRESH_SECONDS:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read_keys(self._num_changes))
            # Others wait for the same reading, and one who is gone does not end it.
            await asyncio.shield(self._reading)
        return self._keys.get(key_id)

    async def _read_keys(self, num_changes: int) -> None:
        keys = {key.key_id: key for key in await self._store.keys()}
        if num_changes == self._num_changes:
            self._keys, self._keys_time = keys, time.monotonic()

    async def _is_secret_of(self, key: ApiKey, secret: str) -> bool:
        if not is_equal(excerpt_of(secret), key.excerpt):
            return False
        # By a key that only this process knows, what it remembers is worth nothing elsewhere. A wrong secret is
        # remembered too, or one that has the excerpt would cost the slow comparison each time.
        digest = hmac.new(self._cache_key, f"{key.key_id}_{secret}".encode(), hashlib.sha256).digest()
        if (is_right := self._verified.get(digest)) is None:
            is_right = await self._hasher.is_hash_of(key.secret_hash, secret)
            _remember(self._verified, digest, is_right)
        return is_right

    async def _session(self, token_digest: str) -> Session | None:
        end, session = self._sessions.get(token_digest, (0.0, None))
        if time.monotonic() < end:
            return session
        num_changes = self._num_changes
        session = await self._store.session(token_digest)
        # That there is none is remembered too: who has logged out may go on asking.
        if num_changes == self._num_changes:
            _remember(self._sessions, token_digest, (time.monotonic() + _FRESH_SECONDS, session))
        return session


def _refuse_ended(key: ApiKey) -> None:
    if key.revoke_time is not None:
        raise Unauthenticated(f"The key {key.key_id!r} was revoked.", "Ask the gateway's admin for another key.")
    if key.expire_time is not None and key.expire_time <= datetime.now(UTC):
        raise Unauthenticated(
            f"The key {key.key_id!r} expired on {key.expire_time:%Y-%m-%d}.", "Ask the gateway's admin for another key."
        )


def _remember(cache: OrderedDict[K, V], key: K, value: V) -> None:
    cache[key] = value
    if len(cache) > _MAX_CACHED:
        cache.popitem(last=False)
