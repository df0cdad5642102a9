"""One suite over the store of feedback items, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.chassis.errors import Aborted
from services.feedback.domain.agreement import Agreement
from services.feedback.domain.item import Content, FeedbackKind, FeedbackUse, Item, ItemFilter, Outcome, Rating, Subject
from services.feedback.store.items import SqlItemStore
from services.feedback.store.jobs import MIGRATIONS
from tests.contract.conftest import OpenDatabase

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ANSWER = {"role": "assistant", "content": "Grüße, 世界"}
SUBJECT = Subject(
    transcript_id="run-1",
    test_run_id="run",
    case_id="case",
    repeat=1,
    turn=2,
    model_version_id="tiny@1",
    test_suite_version_id="roo_xml/core@1",
    profile_id="roo_xml",
    prompt_size="compact",
    tool="read_file",
    category="x",
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, open_database: OpenDatabase) -> SqlItemStore:
    return SqlItemStore(await open_database(request.param, MIGRATIONS))


def item(name: str, **more: Any) -> Item:
    values: dict[str, Any] = {"rating": Rating(1), "content": Content((ANSWER,), verdict=Outcome(True)), **more}
    return Item(name, values.pop("kind", FeedbackKind.RATING), "ann", NOW, values.pop("subject", SUBJECT), **values)


async def test_an_item_is_kept_with_all_that_it_says(store: SqlItemStore) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    content = Content(
        (ANSWER, {**ANSWER, "tool_calls": [call]}),
        ("{}",),
        (ANSWER,),
        note="n",
        metadata={"a": "b"},
        verdict=Outcome(False, "no_call", "It has none."),
        proposal_verdict=Outcome(True),
    )
    stored = await store.add(
        item("a", kind=FeedbackKind.CORRECTION, rating=None, content=content, case_document='{"x":1}')
    )
    assert replace(stored, ordinal=0) == item(
        "a", kind=FeedbackKind.CORRECTION, rating=None, content=content, case_document='{"x":1}'
    )
    assert await store.add(item("a", tag="another")) == stored == await store.get("a")
    assert await store.get("b") is None


async def test_filters_pages_and_counts_agree(store: SqlItemStore) -> None:
    other = replace(SUBJECT, tool="list_files", transcript_id="run-2")
    await store.add_all([item("a"), item("b", subject=other)])
    await store.add_all([item("c", kind=FeedbackKind.TAG, rating=None, tag="odd")])
    await store.withdraw("a", "a slip")
    wanted = {
        "c,b": ItemFilter(),
        "c,b,a": ItemFilter(withdrawn_too=True),
        "b": ItemFilter(tool="list_files", profile_id="roo_xml", author="ann"),
        "c": ItemFilter(kind=FeedbackKind.TAG, tag="odd", use=FeedbackUse.UNUSED),
        "": ItemFilter(transcript_id="run-9"),
    }
    for names, each in wanted.items():
        found = await store.list(each, 99, 10)
        assert ",".join(one.feedback_item_id for one in found) == names
        assert await store.count(each) == len(found)
        assert tuple(reversed(await store.list_forward(each, 0, 10))) == found
    first = await store.list(ItemFilter(), 99, 1)
    assert [one.feedback_item_id for one in await store.list(ItemFilter(), first[0].ordinal, 9)] == ["b"]


async def test_a_withdrawal_is_kept_with_its_first_time_and_reason(store: SqlItemStore) -> None:
    await store.add(item("a"))
    first = await store.withdraw("a", "a slip")
    again = await store.withdraw("a", "another reason")
    assert first is not None and again == first and (first.withdraw_reason, first.withdraw_time) != ("", None)
    assert await store.withdraw("b", "") is None


async def test_uses_are_noted_once_and_found_by(store: SqlItemStore) -> None:
    await store.add_all([item("a"), item("b")])
    for _ in range(2):
        await store.mark_used(["a"], "mine@1")
    (used,) = await store.list(ItemFilter(use=FeedbackUse.USED), 99, 9)
    assert (used.feedback_item_id, used.dataset_version_ids) == ("a", ("mine@1",))
    assert [one.feedback_item_id for one in await store.list(ItemFilter(use=FeedbackUse.UNUSED), 99, 9)] == ["b"]


async def test_items_of_a_file_are_stored_once(store: SqlItemStore) -> None:
    assert [await store.add_all([item("a"), item("b")]) for _ in range(2)] == [2, 0]
    assert await store.known(["a", "c"]) == {"a"}


async def test_an_item_that_a_file_has_twice_is_stored_once_and_the_one_that_it_replaces_is_withdrawn(
    store: SqlItemStore,
) -> None:
    await store.add(item("a"))
    second = item("b", replaces_feedback_item_id="a")
    assert [await store.add_all(batch) for batch in ([second, second], [second])] == [1, 0]
    assert [each.feedback_item_id for each in await store.list(ItemFilter(), 99, 9)] == ["b"]
    replaced = await store.get("a")
    assert replaced is not None and replaced.withdraw_reason == "replaced"


async def test_contradictions_and_agreement_are_found_by_the_database(store: SqlItemStore) -> None:
    sides = [{**ANSWER, "content": text} for text in ("one", "two")]
    pair = {"kind": FeedbackKind.PREFERENCE, "rating": None}
    await store.add(item("a", **pair, content=Content((sides[0],), chosen=sides[0], rejected=sides[1])))
    await store.add(item("b", **pair, content=Content((sides[0],), chosen=sides[1], rejected=sides[0])))
    await store.add(item("c", rating=Rating(-1)))
    assert {one.feedback_item_id for one in await store.list(ItemFilter(is_contradicted=True), 99, 9)} == {"a", "b"}
    assert [one.is_contradicted for one in await store.list(ItemFilter(), 99, 9)] == [False, True, True]
    assert await store.agreement(ItemFilter()) == Agreement(num_only_judge_good=1)


async def test_of_two_that_replace_one_item_at_once_the_second_is_told_and_not_stored(store: SqlItemStore) -> None:
    await store.add(item("first"))
    both = [replace(item(name), version=2, replaces_feedback_item_id="first") for name in ("ann", "bob")]
    outcomes = await asyncio.gather(*map(store.add, both), return_exceptions=True)
    stored, refused = sorted(outcomes, key=lambda outcome: isinstance(outcome, BaseException))
    assert isinstance(refused, Aborted) and "The item first was withdrawn meanwhile" in str(refused)
    assert isinstance(stored, Item) and await store.count(ItemFilter(withdrawn_too=True)) == 2
    assert await store.add(stored) == stored
