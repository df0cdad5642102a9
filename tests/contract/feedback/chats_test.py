"""One suite over the store of answers of chats and recorded sessions, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.feedback.domain.item_spec import Chat
from services.feedback.store.chats import Retention, SqlChatStore
from services.feedback.store.jobs import MIGRATIONS
from tests.contract.conftest import OpenDatabase

ANSWER = {"role": "assistant", "content": "Grüße, 世界"}
CHAT = Chat("tiny@1", ({"role": "user", "content": "hi"}, ANSWER), ("{}",), {"project": "p"})
RECORDED = replace(CHAT, session_id="zoo", token_ids=(1, 2))


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, open_database: OpenDatabase) -> SqlChatStore:
    return SqlChatStore(await open_database(request.param, MIGRATIONS))


async def test_a_chat_is_kept_once_for_as_long_as_it_may(store: SqlChatStore) -> None:
    await store.keep_chat("chatcmpl-1", CHAT)
    await store.keep_chat("chatcmpl-1", replace(CHAT, model_version_id="other"))
    assert await store.get_chat("chatcmpl-1") == CHAT
    store._retention = Retention(days=0)
    await store.keep_chat("chatcmpl-2", CHAT)
    assert await store.get_chat("chatcmpl-1") == CHAT
    store._retention = Retention(stored_days=0)
    await store.keep_chat("chatcmpl-2", CHAT)
    assert await store.get_chat("chatcmpl-1") is None


async def test_sessions_are_listed_by_name_with_their_answers_in_order(store: SqlChatStore) -> None:
    for name, session_id in (("a", "zoo"), ("b", "cline"), ("c", "zoo"), ("d", "")):
        await store.keep_chat(name, replace(RECORDED, session_id=session_id))
    first, second = await store.list_sessions("", 9)
    assert (first.session_id, first.num_answers, first.is_kept) == ("cline", 1, False)
    assert second.create_time < second.update_time and second.size_bytes > 100
    assert await store.list_sessions("cline", 9) == (second,) == (await store.get_session("zoo"),)
    answers = await store.list_answers("zoo", None, 9)
    assert [answer.chat_completion_id for answer in answers] == ["a", "c"]
    assert answers[0].chat == replace(RECORDED, is_kept=False)
    behind = (answers[0].create_time, "a")
    assert await store.list_answers("zoo", behind, 9) == answers[1:]
    room = second.size_bytes - 1
    fitting = [await store.num_fitting("zoo", None, 9, most) for most in (0, room, room + 1)]
    assert (fitting, await store.num_fitting("zoo", behind, 9, room)) == ([1, 1, 2], 1)


async def test_of_sessions_that_nobody_keeps_the_oldest_answers_make_room(store: SqlChatStore) -> None:
    await store.keep_chat("kept", replace(RECORDED, session_id="kept"))
    await store.keep_session("kept")
    await store.keep_chat("later", replace(RECORDED, session_id="kept"))
    long = replace(RECORDED, messages=({"role": "user", "content": "x" * 400_000}, ANSWER))
    store._retention = Retention(megabytes=1)
    for name in "abcd":
        await store.keep_chat(name, long)
    assert [answer.chat_completion_id for answer in await store.list_answers("zoo", None, 9)] == ["c", "d"]
    store._retention = Retention(days=0)
    await store.keep_chat("last", long)
    assert [(session.session_id, session.num_answers) for session in await store.list_sessions("", 9)] == [("kept", 2)]
    await store.forget_session("kept")
    assert await store.list_sessions("", 9) == ()
