"""The promises of the accounts' store, over every implementation."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.database import Database
from services.chassis.errors import AlreadyExists, NotFound
from tests.contract.conftest import OpenDatabase
from ui.gateway.access.accounts import ApiKey, Session, User
from ui.gateway.access.audit import AuditLog
from ui.gateway.access.caller import Scope
from ui.gateway.access.store import accounts
from ui.gateway.access.store.accounts import SqlAccounts
from ui.gateway.access.store.audit import SqlAudit

MIGRATIONS = Path(accounts.__file__).parent / "migrations"
NOW = datetime.now(UTC).replace(microsecond=123456)
HOUR = timedelta(hours=1)
KEY = ApiKey("ci", (Scope.READ, Scope.TEST), "$argon2id$hash", "excerpt", "key:initial-admin", NOW, NOW + HOUR)
USER = User("ann", "trainer", "$argon2id$hash", "key:ci", NOW)
SESSION = Session("digest", "user:ann", (Scope.READ,), NOW, NOW + HOUR)


@dataclass(frozen=True)
class Stores:
    accounts: SqlAccounts
    audit: SqlAudit


@pytest.fixture(params=["sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[Stores]:
    database: Database = await open_database(request.param, MIGRATIONS)
    yield Stores(SqlAccounts(database), SqlAudit(database))


async def test_a_key_is_kept_whole_and_its_name_is_never_given_again(stores: Stores) -> None:
    endless = replace(KEY, key_id="later", create_time=NOW + HOUR, expire_time=None)
    for key in (KEY, endless):
        await stores.accounts.add_key(key)
    assert await stores.accounts.keys() == [endless, KEY]
    await stores.accounts.revoke_key("ci", NOW + HOUR)
    assert (await stores.accounts.keys())[1] == replace(KEY, revoke_time=NOW + HOUR)
    with pytest.raises(AlreadyExists, match="is, or was, a key 'ci'"):
        await stores.accounts.add_key(KEY)
    with pytest.raises(NotFound):
        await stores.accounts.revoke_key("none", NOW)


async def test_a_user_is_kept_until_they_are_deleted(stores: Stores) -> None:
    for user in (replace(USER, user_id="zoe"), USER):
        await stores.accounts.add_user(user)
    with pytest.raises(AlreadyExists, match="a user 'ann'"):
        await stores.accounts.add_user(USER)
    assert [user.user_id for user in await stores.accounts.users()] == ["ann", "zoe"]
    assert await stores.accounts.user("ann") == USER
    await stores.accounts.delete_user("ann")
    assert await stores.accounts.user("ann") is None
    with pytest.raises(NotFound):
        await stores.accounts.delete_user("ann")
    await stores.accounts.add_user(USER)


async def test_sessions_end_by_themselves_and_with_whom_they_are_of(stores: Stores) -> None:
    store = stores.accounts
    ended = replace(SESSION, token_digest="ended", create_time=NOW - 2 * HOUR, expire_time=NOW - HOUR)
    of_key = replace(SESSION, token_digest="of-key", caller="key:ci")
    left = replace(SESSION, token_digest="left", caller="user:annette")
    await store.add_key(KEY)
    await store.add_user(USER)
    for session in (ended, SESSION, of_key, left):
        await store.add_session(session)
    assert await store.session("ended") is None
    assert await store.session("digest") == SESSION
    await store.revoke_key("ci", NOW)
    await store.delete_user("ann")
    assert [await store.session(name) for name in ("digest", "of-key", "left")] == [None, None, left]
    await store.delete_session("left")
    await store.delete_session("left")
    assert await store.session("left") is None


async def test_the_audit_log_keeps_what_moves_a_terminal_or_ends_a_text_as_it_is_printed(stores: Stores) -> None:
    await stores.accounts.add_key(KEY)
    log = AuditLog(stores.audit, days=1)
    log.note("user:ann", "127.0.0.1", "GET /a", 200)
    log.note("oidc:\x00\x1b[2J\ud800Zoë", "::1", "POST /\x00\x1b]0;title\x07\u202e", 403)
    log.note_use("ci")
    odd, plain = await log.events()
    assert (odd.caller, odd.action, odd.status) == ("oidc:%00%1B[2J%3FZoë", "POST /%00%1B]0;title%07%E2%80%AE", 403)
    assert (plain.caller, plain.address, plain.action, plain.status) == ("user:ann", "127.0.0.1", "GET /a", 200)
    assert odd.sequence > plain.sequence
    assert plain.time.tzinfo is UTC
    assert await log.events(before=odd.sequence) == [plain]
    assert await log.events(caller="user:ann", limit=5) == [plain]
    assert await log.events(limit=1) == [odd]
    (key,) = await stores.accounts.keys()
    assert key.last_use_time is not None
    await stores.audit.note([], {}, datetime.now(UTC) + HOUR)
    assert await log.events() == [], "what is older than it has to be kept is forgotten"
