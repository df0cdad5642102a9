"""What people say of answers: looked up, judged and checked when it is stored, and never lost or doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from services.chassis.jobs import JobState
from services.chassis.machine.caller import current_caller
from services.chassis.wire.paging import token_of
from services.feedback.convert.items import line_of
from services.feedback.domain.agreement import Agreement
from services.feedback.domain.item import (
    AnswersToJudge,
    FeedbackKind,
    Item,
    ItemFilter,
    Opinion,
    Outcome,
    Rating,
    RatingScale,
)
from services.feedback.domain.item_spec import Preference
from services.feedback.store import item_lines
from services.feedback.store.items import SqlItemStore
from services.feedback.usecases import items
from services.protocols.cases import case_to_document
from tests.unit.feedback_items.world import CASES, ItemBench, bench_in, chat, said, spec_of, thumbs


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ItemBench]:
    async for made in bench_in(tmp_path):
        yield made


async def test_a_correction_is_judged_at_once_and_kept_when_it_does_not_conform(bench: ItemBench) -> None:
    right = await bench.corrected("run-1")
    wrong = await bench.usecases.create("", spec_of("run-2", correction=(said("No call here either."),)))
    assert (right.kind, right.subject.tool) == (FeedbackKind.CORRECTION, bench.world.cases["run-1"].tool)
    assert right.content.verdict is not None and right.content.verdict.cause == "no_call"
    assert right.content.proposal_verdict is not None and right.content.proposal_verdict.conforming
    assert wrong.content.proposal_verdict is not None and not wrong.content.proposal_verdict.conforming
    assert (await bench.usecases.get(wrong.feedback_item_id)).content.correction == (said("No call here either."),)


async def test_a_request_id_gives_one_item_and_another_body_is_refused(bench: ItemBench) -> None:
    first = await bench.usecases.create("once", spec_of(rating=thumbs(-1)))
    again = await bench.usecases.create("once", spec_of(rating=thumbs(-1)))
    assert (first.feedback_item_id, bench.world.num_judged) == (again.feedback_item_id, 1)
    with pytest.raises(AlreadyExists):
        await bench.usecases.create("once", spec_of(rating=thumbs(1)))


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (spec_of(case_id="another", rating=thumbs(1)), "not another"),
        (spec_of(turn=3, rating=thumbs(1)), "has no answer 3"),
        (spec_of(), "says several or nothing"),
        (spec_of(rating=thumbs(1), tag="odd"), "says several or nothing"),
        (spec_of(rating=Rating(0)), "not -1 or 1"),
        (spec_of(rating=Rating(6, RatingScale.STARS)), "not 1 to 5 stars"),
        (spec_of(transcript_id="", rating=thumbs(1)), "names none or several"),
        (spec_of(correction=(said(" "),)), "is empty"),
        (spec_of(preference=Preference()), "are the same"),
        (spec_of(preference=Preference(over_transcript_id="run-2")), "does not answer the same prompt"),
        (spec_of(preference=Preference(rejected=said("No."), over_transcript_id="run-2")), "two worse answers"),
        (spec_of("", chat=replace(chat(), tools=("junk",)), rating=thumbs(1)), "no JSON object"),
        (spec_of("", chat=replace(chat(), tools=('{"name": "f"}',)), rating=thumbs(1)), "no JSON object of"),
        (spec_of("", chat=replace(chat(), messages=({"role": "usr"}, said("Bye."))), tag="odd"), "the role 'usr'"),
    ],
)
async def test_what_does_not_fit_is_refused_by_a_sentence(bench: ItemBench, spec: object, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        await bench.usecases.create("", spec)  # type: ignore[arg-type]


async def test_the_author_is_who_logged_in_whatever_an_item_says_itself(bench: ItemBench) -> None:
    token = current_caller.set("user:zoe")
    try:
        item = await bench.usecases.create("", spec_of(rating=thumbs(1), author="ann"))
    finally:
        current_caller.reset(token)
    assert item.author == "user:zoe"
    assert (await bench.usecases.create("", spec_of(rating=thumbs(1), author="ann"))).author == "ann"


async def test_a_file_says_what_it_says_new_in_the_name_of_who_sent_it(bench: ItemBench) -> None:
    token = current_caller.set("user:zoe")
    try:
        created = await bench.usecases.create_import("", await bench.kept(b'{"transcript_id": "run-1", "tag": "odd"}'))
    finally:
        current_caller.reset(token)
    async with bench.at_work():
        assert (await bench.ended(created.job.job_id)).num_imported == 1
    (item,) = await bench.store.list(ItemFilter(), 99, 9)
    assert item.author == "user:zoe"
    await bench.imported(line_of(replace(item, feedback_item_id="elsewhere", author="ann")))
    assert [one.author for one in await bench.store.list(ItemFilter(), 99, 9)] == ["ann", "user:zoe"]


async def test_an_import_outlasts_a_judge_that_is_away(bench: ItemBench, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, is_back = bench.world.judge, asyncio.Event()

    async def away_at_first(answers: Sequence[AnswersToJudge]) -> list[Outcome | str]:
        if not is_back.is_set():
            is_back.set()
            raise Unavailable("The evaluator is away.", "Wait.")
        return await judge(answers)

    monkeypatch.setattr(bench.world, "judge", away_at_first)
    ended = await bench.imported(b'{"transcript_id": "run-1", "tag": "odd"}')
    assert is_back.is_set() and (ended.job.state, ended.num_imported) == (JobState.SUCCEEDED, 1)


async def test_an_item_on_a_transcript_or_chat_that_does_not_exist_is_not_stored(bench: ItemBench) -> None:
    for spec in (spec_of("gone-1", rating=thumbs(1)), spec_of("", chat_completion_id="chatcmpl-x", rating=thumbs(1))):
        with pytest.raises(NotFound):
            await bench.usecases.create("", spec)
    assert await bench.store.count(ItemFilter(withdrawn_too=True)) == 0


async def test_a_stored_chat_can_be_named_by_its_id(bench: ItemBench) -> None:
    await bench.chats.keep_chat("chatcmpl-1", chat())
    item = await bench.usecases.create("", spec_of("", chat_completion_id="chatcmpl-1", correction=(said("Hello!"),)))
    assert item.content.messages == chat().messages
    assert (item.subject.model_version_id, item.content.verdict, item.case_document) == ("tiny@1", None, "")


async def test_an_answer_of_a_recorded_session_is_masked_and_teaches_only_once_a_person_keeps_it(
    bench: ItemBench,
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "login", "arguments": '{"password": "hunter2"}'}}
    spoken = ({"role": "user", "content": "Open /home/ann/x."}, {**said("I do."), "tool_calls": [call]})
    await bench.chats.keep_chat("chatcmpl-1", replace(chat(), messages=spoken, session_id="zoo", token_ids=(7,)))
    spec = spec_of("", chat_completion_id="chatcmpl-1", rating=thumbs(-1))
    with pytest.raises(FailedPrecondition, match="drillyard sessions keep zoo"):
        await bench.usecases.create("", spec)
    assert (await bench.chats.keep("zoo")).is_kept
    item = await bench.usecases.create("", spec)
    assert item.content.messages[0]["content"] == "Open /home/user/x."
    assert item.content.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"password": "[masked]"}'
    (answer,), token = await bench.chats.answers("zoo", 1, "")
    assert (answer.chat.token_ids, token) == ((), "")
    with pytest.raises(InvalidArgument, match="not one that this list gave out"):
        await bench.chats.answers("zoo", 1, token_of(("yesterday", "chatcmpl-1")))
    await bench.chats.forget("zoo")
    with pytest.raises(NotFound, match="no session 'zoo'"):
        await bench.chats.forget("zoo")
    with pytest.raises(InvalidArgument, match="No session can have the name"):
        await bench.chats.keep_chat("chatcmpl-2", replace(chat(), session_id="a/b"))


async def test_preferences_both_ways_are_kept_and_listed_until_one_is_withdrawn(bench: ItemBench) -> None:
    better, own = said(bench.world.right("run-1")), bench.world.answers["run-1"][0]
    first = await bench.usecases.create("", spec_of(preference=Preference(chosen=better)))
    opposite = await bench.usecases.create("", spec_of(preference=Preference(rejected=better), author="bob"))
    assert opposite.content.chosen == own
    contradicted = ItemFilter(is_contradicted=True)
    assert {item.feedback_item_id for item in await bench.store.list(contradicted, 99, 9)} == {
        first.feedback_item_id,
        opposite.feedback_item_id,
    }
    await bench.usecases.withdraw(opposite.feedback_item_id, "a slip")
    assert await bench.store.count(contradicted) == 0
    assert not (await bench.usecases.get(first.feedback_item_id)).is_contradicted


async def test_an_item_that_replaces_another_withdraws_it_in_the_same_step(bench: ItemBench) -> None:
    first = await bench.usecases.create("", spec_of(rating=thumbs(1)))
    second = await bench.usecases.create(
        "", spec_of(rating=thumbs(-1), replaces_feedback_item_id=first.feedback_item_id)
    )
    assert second.version == 2
    assert (await bench.usecases.get(first.feedback_item_id)).withdraw_time == second.create_time
    with pytest.raises(InvalidArgument, match="about another answer"):
        await bench.usecases.create(
            "", spec_of("run-2", rating=thumbs(-1), replaces_feedback_item_id=second.feedback_item_id)
        )
    with pytest.raises(InvalidArgument, match="withdrawn already"):
        await bench.usecases.create("", spec_of(rating=thumbs(1), replaces_feedback_item_id=first.feedback_item_id))


async def test_an_export_is_imported_elsewhere_as_it_was_and_a_second_time_changes_nothing(
    bench: ItemBench, tmp_path: Path
) -> None:
    await bench.corrected("run-1", note="mind the path")
    await bench.usecases.create("", spec_of("run-2", rating=Rating(5, RatingScale.STARS)))
    await bench.usecases.create("", spec_of("run-3", preference=Preference(chosen=said("Better."))))
    tag = await bench.usecases.create("", spec_of("run-4", tag="odd"))
    await bench.usecases.withdraw(tag.feedback_item_id, "no use")
    everything = ItemFilter(withdrawn_too=True)
    content = b"".join([line_of(item) async for item in bench.usecases.export_items(everything)])
    (tmp_path / "other").mkdir()
    async for other in bench_in(tmp_path / "other"):
        for counts in ((4, 0), (0, 4)):
            imported = await other.imported(content)
            assert (imported.num_imported, imported.num_known) == counts
        assert b"".join([line_of(item) async for item in other.usecases.export_items(everything)]) == content


async def test_an_imported_line_counts_once_and_withdraws_what_it_replaces(bench: ItemBench) -> None:
    first = await bench.usecases.create("", spec_of(rating=thumbs(1)))
    line = {"transcript_id": "run-1", "tag": " odd ", "author": " "}
    line["replaces_feedback_item_id"] = first.feedback_item_id
    content = json.dumps(line).encode() + b"\n"
    for counts in ((1, 1), (0, 2)):
        imported = await bench.imported(content * 2)
        assert (imported.num_imported, imported.num_known) == counts
    (second,) = await bench.store.list(ItemFilter(), 99, 9)
    assert (second.tag, second.author, second.version) == ("odd", "someone", 2)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"feedback_item_id": ""}, "feedback_item_id is not set"),
        ({"author": "x" * 101}, "author is too long"),
        ({"tag": "odd"}, "says several"),
        ({"kind": "FEEDBACK_KIND_TAG"}, "is a tag and holds none"),
        (
            {"messages": [{"role": "user", "content": "Hello"}], "case_document": "", "subject": {}},
            "end with an answer",
        ),
        ({"case_document": ""}, "lacks its case"),
        ({"case_document": "{"}, "case cannot be read"),
        ({"case_document": json.dumps(case_to_document(CASES[1]))}, "and holds the case"),
        ({"subject": {"profile_id": "roo_xmll"}}, "no profile 'roo_xmll'"),
        ({"subject": {"prompt_size": "huge"}}, "no prompt size 'huge'"),
        ({"subject": {"turn": 1}}, "on answer 1 and holds 1"),
    ],
)
async def test_an_exported_item_that_could_not_have_been_stored_is_refused(
    bench: ItemBench, changes: dict[str, Any], problem: str
) -> None:
    document = json.loads(line_of(await bench.usecases.create("", spec_of(rating=thumbs(1)))))
    subject = {**document["subject"], **changes.get("subject", {})} if changes.get("subject") != {} else {}
    line = {**document, "feedback_item_id": "item-2", **changes, "subject": subject}
    with pytest.raises(InvalidArgument, match=f"Line 1: .*{problem}"):
        await bench.checked(json.dumps(line).encode())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "Line 3: This is no item"),
        (b'{"ratting": 1}', "Line 3: This is no item"),
        (b'{"feedback_item_id": "feedback-1", "kind": Infinity}', "Line 3: This is no item"),
        (b'{"transcript_id": "gone", "tag": "odd"}', "Line 3: There is no transcript"),
        (b'{"feedback_item_id": "x", "kind": "FEEDBACK_KIND_TAG"}', "Line 3: The item lacks"),
        (b'{"transcript_id": "run-1", "rating": {"value": 9}}', "Line 3: The field rating.value is 9"),
    ],
)
async def test_of_a_file_with_a_wrong_line_nothing_is_stored_and_the_line_is_named(
    bench: ItemBench, line: bytes, problem: str
) -> None:
    good = b'{"transcript_id": "run-1", "tag": "odd"}\n\n'
    refused = (await bench.imported(good + line)).job
    assert refused.state is JobState.FAILED and refused.error is not None
    assert problem in refused.error.problem and refused.error.code == "INVALID_ARGUMENT"
    assert await bench.store.count(ItemFilter()) == 0


class Stuck(SqlItemStore):
    """A store that takes one batch, and then no more."""

    def __init__(self, store: SqlItemStore) -> None:
        self.num_batches, self.is_stuck, self._store = 0, asyncio.Event(), store

    async def known(self, feedback_item_ids: Collection[str]) -> set[str]:
        return await self._store.known(feedback_item_ids)

    async def add_all(self, items: Sequence[Item]) -> int:
        self.num_batches += 1
        if self.num_batches > 1:
            self.is_stuck.set()
            await asyncio.Event().wait()
        return await self._store.add_all(items)


async def test_an_import_that_is_killed_between_two_batches_goes_on_and_stores_each_item_once(
    bench: ItemBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "_BATCH", 2)
    await bench.usecases.create("", spec_of("", chat=chat(), rating=thumbs(1)))
    (item,) = [item async for item in bench.usecases.export_items(ItemFilter())]
    names = [item.feedback_item_id, *(f"item-{number}" for number in range(4))]
    artifact = await bench.kept(b"".join(line_of(replace(item, feedback_item_id=name)) for name in names))
    job_id = (await bench.usecases.create_import("once", artifact)).job.job_id
    stuck = Stuck(bench.store)
    async with bench.at_work(stuck):
        await stuck.is_stuck.wait()
    assert await bench.store.count(ItemFilter()) == 2
    async with bench.at_work():
        ended = await bench.ended(job_id)
    assert (ended.num_imported, ended.num_known, await bench.store.count(ItemFilter())) == (4, 1, 5)
    assert (ended.job.progress["done"], ended.job.progress["total"]) == (5, 5)
    assert (await bench.usecases.create_import("once", artifact)).job.job_id == job_id
    with pytest.raises(AlreadyExists):
        await bench.usecases.create_import("once", await bench.kept(b"{}"))


async def test_a_line_without_an_end_is_refused_by_its_beginning(
    bench: ItemBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_lines, "_MAX_LINE_BYTES", 100)
    content = b"\n" + b" " * 99 + b"{" * 1000
    with pytest.raises(InvalidArgument, match="Line 2: It has more than 100 bytes"):
        await bench.checked(content)


async def test_verdicts_that_a_file_claims_on_an_answer_without_a_case_do_not_count(bench: ItemBench) -> None:
    await bench.usecases.create("", spec_of("", chat=chat(), rating=thumbs(1)))
    (item,) = [item async for item in bench.usecases.export_items(ItemFilter())]
    claimed = replace(item, feedback_item_id="x", content=replace(item.content, verdict=Outcome(False)))
    (checked,) = await bench.checked(line_of(claimed))
    assert checked.content.verdict is None


def test_opinions_follow_from_thumbs_and_stars() -> None:
    assert [Rating(value).opinion for value in (-1, 1)] == [Opinion.BAD, Opinion.GOOD]
    stars = [Rating(value, RatingScale.STARS).opinion for value in range(1, 6)]
    assert stars == [Opinion.BAD, Opinion.BAD, Opinion.NONE, Opinion.GOOD, Opinion.GOOD]


async def test_agreement_counts_the_newest_word_of_each_author_and_lists_where_they_differ(bench: ItemBench) -> None:
    right = said(bench.world.right("run-2"))
    bench.world.answers["run-2"] = (right,)
    await bench.usecases.create("", spec_of("run-1", rating=thumbs(1)))
    await bench.corrected("run-1")
    await bench.usecases.create("", spec_of("run-2", rating=thumbs(1)))
    await bench.usecases.create("", spec_of("run-2", rating=thumbs(-1), author="bob"))
    await bench.usecases.create("", spec_of("run-3", tag="odd"))
    assert await bench.usecases.agreement(ItemFilter()) == Agreement(1, 1, 0, 1)
    assert await bench.usecases.agreement(ItemFilter(author="ann")) == Agreement(1, 1, 0, 0)
    differing = await bench.store.list(ItemFilter(disagrees=True), 99, 9)
    assert [(item.subject.transcript_id, item.author) for item in differing] == [("run-2", "bob"), ("run-1", "ann")]


def test_kappa_and_its_interval_are_those_of_the_worked_example() -> None:
    # 50 answers, kappa 0.4, standard error 0.1270: Fleiss, Cohen and Everitt's large-sample formula.
    agreement = Agreement(num_both_good=20, num_both_bad=15, num_only_person_good=5, num_only_judge_good=10)
    assert agreement.kappa == pytest.approx(0.4)
    low, high = agreement.kappa_interval
    assert (low, high) == pytest.approx((0.4 - 1.96 * 0.1270, 0.4 + 1.96 * 0.1270), abs=1e-3)
    assert "differ on 15 of 50" in agreement.sentence and "0.40" in agreement.sentence


def test_there_is_no_kappa_where_one_of_the_two_always_says_the_same() -> None:
    assert Agreement(num_both_good=9, num_only_person_good=3).kappa is None
    assert Agreement().kappa is None and "Nothing is known" in Agreement().sentence
