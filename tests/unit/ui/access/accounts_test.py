"""What the gateway remembers of its accounts while they are changed, and while their database is away."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text as sql

from services.chassis.errors import Unavailable
from ui.gateway.access.access import Access
from ui.gateway.access.audit import AuditLog
from ui.gateway.access.caller import Caller, Scope
from ui.gateway.access.secrets import excerpt_of
from ui.gateway.access.store.accounts import SqlAccounts
from ui.gateway.access.store.audit import SqlAudit
from ui.gateway.access.store.workspaces import SqlWorkspaces
from ui.gateway.access.workspaces.workspace import UNLIMITED
from ui.gateway.access.workspaces.workspaces import Workspaces
from ui.gateway.errors import Unauthenticated

ADMIN_KEY = "first-key-of-a-test-that-is-long-enough"


class _SlowAccounts:
    """Accounts in a database that answers when it may, with what it had when it was asked."""

    def __init__(self, store: SqlAccounts) -> None:
        self._store, self.go_on = store, asyncio.Event()
        self.error: Exception | None = None
        self.go_on.set()

    def __getattr__(self, name: str) -> Any:
        async def answer(*arguments: Any) -> Any:
            if self.error:
                raise self.error
            result = await getattr(self._store, name)(*arguments)
            if name in ("keys", "session"):
                await self.go_on.wait()
            return result

        return answer


async def test_what_was_read_before_a_change_is_read_again_and_nobody_is_refused_meanwhile(tmp_path: Path) -> None:
    store = await SqlAccounts.open(f"sqlite+aiosqlite:///{tmp_path / 'accounts.db'}")
    slow = _SlowAccounts(store)
    access: Any = Access(slow, ADMIN_KEY, AuditLog(SqlAudit(store.database), 1))  # type: ignore[arg-type]
    admin = Caller("key:initial-admin", frozenset(Scope))
    _, text = await access.create_key("ci", [Scope.READ], expire_time=None, creator=admin)
    session = await access.log_in(Caller("user:ann", frozenset({Scope.READ})))
    slow.go_on.clear()
    reading = [asyncio.create_task(access.caller_of_key(text)) for _ in range(2)]
    looking = asyncio.create_task(access.caller_of_session(session))
    await asyncio.sleep(0)
    await access.revoke_key("ci")
    await access.log_out(session)
    slow.go_on.set()
    refused = await asyncio.gather(*reading, return_exceptions=True)
    assert ["was revoked" in str(error) for error in refused] == [True, True]
    await asyncio.gather(looking, return_exceptions=True)
    with pytest.raises(Unauthenticated):
        await access.caller_of_session(session)
    slow.error = Unavailable("The database is away.")
    access._forget()
    for error in await asyncio.gather(*(access.caller_of_key(text) for _ in range(2)), return_exceptions=True):
        assert isinstance(error, Unavailable)
    await store.close()


async def test_what_is_refused_again_asks_no_database_and_compares_nothing_slowly(tmp_path: Path) -> None:
    store = await SqlAccounts.open(f"sqlite+aiosqlite:///{tmp_path / 'accounts.db'}")
    slow = _SlowAccounts(store)
    access: Any = Access(slow, ADMIN_KEY, AuditLog(SqlAudit(store.database), 1))  # type: ignore[arg-type]
    admin = Caller("key:initial-admin", frozenset(Scope))
    _, text = await access.create_key("ci", [Scope.READ], expire_time=None, creator=admin)
    session = await access.log_in(Caller("user:ann", frozenset({Scope.READ})))
    await access.log_out(session)
    excerpt = excerpt_of(text[len("dy_ci_") :])
    secret = next(guess for guess in (f"{n:043}" for n in itertools.count()) if excerpt_of(guess) == excerpt)
    compare, compared = access._hasher.is_hash_of, []

    async def is_hash_of(*pair: str) -> bool:
        compared.append(pair)
        return bool(await compare(*pair))

    access._hasher.is_hash_of = is_hash_of
    for error in (None, Unavailable("The database is away.")):
        slow.error = error
        with pytest.raises(Unauthenticated, match="has ended"):
            await access.caller_of_session(session)
        with pytest.raises(Unauthenticated, match="not one of this gateway"):
            await access.caller_of_key(f"dy_ci_{secret}")
        assert (await access.caller_of_key(text)).name == "key:ci"
    assert [pair[1] for pair in compared] == [secret, text[len("dy_ci_") :]]
    await store.close()


async def test_accounts_of_a_release_without_workspaces_belong_to_the_default_one(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'accounts.db'}"
    store = await SqlAccounts.open(url)
    access: Any = Access(store, ADMIN_KEY, AuditLog(SqlAudit(store.database), 1))
    admin = Caller("key:initial-admin", frozenset(Scope))
    _, text = await access.create_key("ci", [Scope.READ], expire_time=None, creator=admin)
    session = await access.log_in(admin)
    async with store.database.session() as session_of_database:
        for table in ("api_keys", "users", "sessions"):
            await session_of_database.execute(sql(f"ALTER TABLE {table} DROP COLUMN workspace_id"))
        await session_of_database.execute(sql("DROP TABLE workspaces"))
        await session_of_database.execute(sql("UPDATE alembic_version SET version_num = '0001_access'"))
    await store.close()
    store = await SqlAccounts.open(url)
    access = Access(store, ADMIN_KEY, AuditLog(SqlAudit(store.database), 1))
    callers = await access.caller_of_key(text), await access.caller_of_session(session)
    assert [(caller.name, caller.workspace_id) for caller in callers] == [
        ("key:ci", "default"),
        (admin.name, "default"),
    ]
    assert await Workspaces(SqlWorkspaces(store.database)).all() == [UNLIMITED]
    await store.close()
