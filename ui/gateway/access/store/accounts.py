"""API keys, users and sessions in a database of the gateway's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import delete, insert, select, update

from services.chassis.database import Database, insert_if_absent, item_of, row_of
from services.chassis.database.migration import migrate
from services.chassis.errors import AlreadyExists, NotFound
from ui.gateway.access.accounts import ApiKey, Session, User
from ui.gateway.access.caller import Scope
from ui.gateway.access.store.tables import API_KEYS, SESSIONS, USERS

T = TypeVar("T")


class SqlAccounts:
    """Accounts in SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open the database at a URL and bring it to this release's schema.

        Raises:
            FailedPrecondition: It is in use, too new, or on a network filesystem.
        """
        database = Database.open(url)
        try:
            await migrate(database, Path(__file__).parent / "migrations")
        except BaseException:
            await database.close()
            raise
        return cls(database)

    async def close(self) -> None:
        """Close the database."""
        await self.database.close()

    async def add_key(self, key: ApiKey) -> None:
        """Keep a new key.

        Raises:
            AlreadyExists: A key has, or had, its id.
        """
        async with self.database.session() as session:
            if not await insert_if_absent(session, API_KEYS, row_of(key, API_KEYS)):
                raise AlreadyExists(f"There is, or was, a key {key.key_id!r}.", "Choose another name.")

    async def keys(self) -> list[ApiKey]:
        """Return all keys, newest first."""
        async with self.database.reading() as session:
            rows = await session.execute(select(API_KEYS).order_by(API_KEYS.c.create_time.desc()))
            return [_with_scopes(ApiKey, row) for row in rows.mappings()]

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        """Refuse a key from now on, and end its sessions.

        Raises:
            NotFound: There is no such key.
        """
        query = update(API_KEYS).where(API_KEYS.c.key_id == key_id).values(revoke_time=now)
        async with self.database.session() as session:
            if (await session.execute(query.returning(API_KEYS.c.key_id))).first() is None:
                raise NotFound(f"There is no key {key_id!r}.", "List the keys with `drillyard keys`.")
            await session.execute(delete(SESSIONS).where(SESSIONS.c.caller == f"key:{key_id}"))

    async def add_user(self, user: User) -> None:
        """Keep a new user.

        Raises:
            AlreadyExists: There is one of that name.
        """
        async with self.database.session() as session:
            if not await insert_if_absent(session, USERS, row_of(user, USERS)):
                raise AlreadyExists(f"There is a user {user.user_id!r}.", "Choose another name, or delete them first.")

    async def users(self) -> list[User]:
        """Return all users by name."""
        async with self.database.reading() as session:
            rows = await session.execute(select(USERS).order_by(USERS.c.user_id))
            return [item_of(User, row) for row in rows.mappings()]

    async def user(self, user_id: str) -> User | None:
        """Return the user of a name."""
        async with self.database.reading() as session:
            query = select(USERS).where(USERS.c.user_id == user_id)
            row = (await session.execute(query)).mappings().one_or_none()
            return item_of(User, row) if row else None

    async def delete_user(self, user_id: str) -> None:
        """Forget a user, and end their sessions.

        Raises:
            NotFound: There is no such user.
        """
        query = delete(USERS).where(USERS.c.user_id == user_id).returning(USERS.c.user_id)
        async with self.database.session() as session:
            if (await session.execute(query)).first() is None:
                raise NotFound(f"There is no user {user_id!r}.", "List the users with `drillyard users`.")
            await session.execute(delete(SESSIONS).where(SESSIONS.c.caller == f"user:{user_id}"))

    async def add_session(self, item: Session) -> None:
        """Keep a new session; those that have ended are forgotten."""
        async with self.database.session() as session:
            await session.execute(delete(SESSIONS).where(SESSIONS.c.expire_time < item.create_time))
            await session.execute(insert(SESSIONS).values(row_of(item, SESSIONS)))

    async def session(self, token_digest: str) -> Session | None:
        """Return a session that has not ended."""
        is_open = (SESSIONS.c.token_digest == token_digest) & (SESSIONS.c.expire_time > datetime.now(UTC))
        async with self.database.reading() as session:
            row = (await session.execute(select(SESSIONS).where(is_open))).mappings().one_or_none()
            return _with_scopes(Session, row) if row else None

    async def delete_session(self, token_digest: str) -> None:
        """End a session, if it is there."""
        async with self.database.session() as session:
            await session.execute(delete(SESSIONS).where(SESSIONS.c.token_digest == token_digest))


def _with_scopes(cls: type[T], row: Mapping[Any, Any]) -> T:
    return item_of(cls, row, scopes=tuple(map(Scope, row["scopes"])))
