"""Rows of a dataset from one feedback item: what its author says is right, or right against wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

from services.feedback.datasets.examples import Example, examples_of, played_examples
from services.feedback.domain.dataset_build import DatasetForm, LeftOut
from services.feedback.domain.item import ChatMessage, FeedbackKind, Item, ItemFilter, Opinion
from services.protocols.cases import Case, case_from_document
from services.protocols.judging.healing import healed
from services.protocols.profile import Profile
from services.protocols.session import Session
from services.protocols.suites.balance import category_of
from services.protocols.suites.dataset_row import DatasetRow
from services.protocols.turn import Answer, Message, ToolCall

HEALED = "healed"
_NUM_CASES = 4096


@dataclass(frozen=True)
class Lesson:
    """Right answers to the end of an item's conversation, what is worse than the first of them, and why they are there.

    Attributes:
        answers: in turn; empty for the case's own reference answers.
    """

    reason: str
    answers: tuple[ChatMessage, ...] = ()
    rejected: ChatMessage | None = None


def that_teach(item_filter: ItemFilter, form: DatasetForm) -> ItemFilter:
    """Return which of the wanted items can teach something in a form: of all others `lesson_of` gives no lesson."""
    if form is DatasetForm.DPO:
        pairs = (FeedbackKind.CORRECTION, FeedbackKind.PREFERENCE)
        return replace(item_filter, kinds=pairs, or_opinion=Opinion.BAD)
    return replace(item_filter, kinds=(FeedbackKind.CORRECTION,), or_opinion=Opinion.GOOD)


def lesson_of(item: Item, form: DatasetForm) -> Lesson | LeftOut:
    """Return what an item teaches in a form, or why it teaches nothing."""
    content = item.content
    proposal = content.proposal_verdict
    # Where there is no case, the person's word alone counts.
    if (content.correction or content.chosen) and item.case_document and not (proposal and proposal.conforming):
        return LeftOut.DOES_NOT_CONFORM
    return _pair(item) if form is DatasetForm.DPO else _answer(item)


def _answer(item: Item) -> Lesson | LeftOut:
    content = item.content
    if item.kind is FeedbackKind.CORRECTION:
        return Lesson("correction", content.correction)
    if item.opinion is not Opinion.GOOD:
        return LeftOut.NOTHING_TO_LEARN
    if item.case_document and not (content.verdict and content.verdict.conforming):
        return LeftOut.DOES_NOT_CONFORM
    return Lesson("rated_good", content.messages[-1:])


def _pair(item: Item) -> Lesson | LeftOut:
    content = item.content
    is_failure = not (content.verdict and content.verdict.conforming)
    if item.kind is FeedbackKind.PREFERENCE and content.chosen:
        if item.is_contradicted:
            return LeftOut.CONTRADICTED
        return Lesson("preference", (content.chosen,), content.rejected)
    if item.kind is FeedbackKind.CORRECTION:
        own = content.messages[-1]
        return Lesson("correction", content.correction[:1], own) if is_failure else LeftOut.NO_PAIR
    if item.opinion is not Opinion.BAD:
        return LeftOut.NOTHING_TO_LEARN
    # Only at the first answer the case's reference answers the same prompt.
    if not (item.case_document and is_failure and item.subject.turn == 0):
        return LeftOut.NO_PAIR
    return Lesson("reference", (), content.messages[-1])


def rows_of(profile: Profile | None, item: Item, lesson: Lesson) -> list[DatasetRow]:
    """Return the rows that teach a lesson, one for each set of functions that the client offers on the way.

    Raises:
        SessionOver: The client takes no answer where the item is.
    """
    if profile is None or not item.case_document:
        # Of a conversation only the answer that a person looked at is trained.
        before = [*map(_passed_over, item.content.messages[:-1])]
        tools = tuple(json.loads(tool) for tool in item.content.tools)
        return [_row(item, lesson, item.feedback_item_id, Example((*before, *lesson.answers), tools), None)]
    case = _case(item.case_document)
    examples = _examples(profile, item, case, lesson.answers)
    if lesson.rejected:
        examples = [Example(examples[0].opening, examples[0].tools)]
        if not (lesson.answers or case.solution):
            examples, lesson = _healed(profile, case, lesson, examples[0])
    ids = [f"{item.feedback_item_id}.{number}" for number in range(1, len(examples) + 1)]
    return [_row(item, lesson, row_id, example, case) for row_id, example in zip(ids, examples, strict=True)]


def _healed(profile: Profile, case: Case, lesson: Lesson, right: Example) -> tuple[list[Example], Lesson]:
    """Return the example with the failure itself, mended, in the place of the reference answer, where that can be."""
    *prompt, reference = right.opening
    failure, right_answer = cast(Message, lesson.rejected), cast(Message, reference)
    chosen = healed(failure, right_answer, lambda own: profile.judge(case, answer_of(profile, own)).conforming)
    reason = lesson.reason if chosen == reference else HEALED
    return [Example((*prompt, chosen), right.tools)], replace(lesson, reason=reason)


def _passed_over(message: ChatMessage) -> ChatMessage:
    """Return a message before the answer that is trained, in the words of a dataset's row."""
    if message["role"] == "assistant":
        return {**message, "weight": 0}
    return {**message, "role": "system"} if message["role"] == "developer" else message


def _examples(profile: Profile, item: Item, case: Case, answers: Sequence[ChatMessage]) -> list[Example]:
    size = item.subject.prompt_size
    if not answers:
        return examples_of(profile, case, size)
    session = Session(profile, case, size)
    for message in item.content.messages[:-1]:
        session.answer(answer_of(profile, message))
    return played_examples(session, [answer_of(profile, message) for message in answers], ends_early=True)


def answer_of(profile: Profile, message: ChatMessage) -> Answer:
    """Return an answer that is in a message, with its native calls or those that its text holds."""
    calls = tuple(
        ToolCall(call["function"]["name"], call["function"]["arguments"], call["id"])
        for call in message.get("tool_calls", ())
    )
    return Answer(message["content"], calls) if calls else profile.read_answer(message["content"])


@lru_cache(maxsize=_NUM_CASES)
def _case(document: str) -> Case:
    return case_from_document(json.loads(document))


def _row(item: Item, lesson: Lesson, row_id: str, example: Example, case: Case | None) -> DatasetRow:
    verdict = item.content.verdict
    return DatasetRow(
        row_id,
        example.messages,
        tools=example.tools,
        case=json.loads(item.case_document) if case else None,
        rejected=lesson.rejected,
        tool=case.tool if case else "",
        category=category_of(case) if case else "",
        cause=verdict.cause if verdict else "",
        profile_id=item.subject.profile_id,
        reason=lesson.reason,
        feedback_item_id=item.feedback_item_id,
    )
