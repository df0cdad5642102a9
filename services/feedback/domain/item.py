"""Feedback items: what one person said of one answer, and what the profile's judge says of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from services.chassis.errors import InvalidArgument

ChatMessage: TypeAlias = Mapping[str, Any]
"""A message in OpenAI's form."""

_STARS = range(1, 6)


class FeedbackKind(StrEnum):
    """What an item says."""

    RATING = "RATING"
    CORRECTION = "CORRECTION"
    PREFERENCE = "PREFERENCE"
    TAG = "TAG"
    NOTE = "NOTE"


class RatingScale(StrEnum):
    """What the number of a rating means: -1 or 1, or 1 to 5."""

    THUMBS = "THUMBS"
    STARS = "STARS"


class Opinion(StrEnum):
    """What a person thinks of an answer as a whole."""

    GOOD = "GOOD"
    BAD = "BAD"
    NONE = ""


class FeedbackUse(StrEnum):
    """Whether datasets have rows of an item."""

    UNSPECIFIED = "UNSPECIFIED"
    USED = "USED"
    UNUSED = "UNUSED"


@dataclass(frozen=True)
class Rating:
    """How good an answer is."""

    value: int
    scale: RatingScale = RatingScale.THUMBS

    @property
    def opinion(self) -> Opinion:
        """What it says of the answer as a whole; three stars say nothing."""
        if self.scale is RatingScale.STARS and self.value == 3:
            return Opinion.NONE
        return Opinion.GOOD if self.value >= (4 if self.scale is RatingScale.STARS else 1) else Opinion.BAD

    def check(self) -> None:
        """Raise InvalidArgument when the scale has no such number."""
        if self.value not in (_STARS if self.scale is RatingScale.STARS else (-1, 1)):
            bounds = "1 to 5 stars" if self.scale is RatingScale.STARS else "-1 or 1"
            raise InvalidArgument(
                f"The rating is {self.value}, which is not {bounds}.",
                "Send -1 or 1, or 1 to 5 with RATING_SCALE_STARS.",
                field="spec.rating.value",
            )


@dataclass(frozen=True)
class Outcome:
    """What the profile's judge says of an answer; `cause` is empty when it conforms."""

    conforming: bool
    cause: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class Subject:
    """What an item is about, as it was when the item was stored."""

    transcript_id: str = ""
    test_run_id: str = ""
    case_id: str = ""
    repeat: int = 0
    turn: int = 0
    chat_completion_id: str = ""
    model_version_id: str = ""
    test_suite_version_id: str = ""
    profile_id: str = ""
    prompt_size: str = ""
    tool: str = ""
    category: str = ""


@dataclass(frozen=True)
class Content:
    """The long part of an item.

    Attributes:
        messages: the answers of the transcript up to the one that the item is about, or a chat's whole conversation.
        tools: function definitions of a chat, one JSON object each.
        correction: the right answer, and those that follow it.
        chosen: the better answer of a preference.
        rejected: the worse one.
        metadata: what the caller of a chat said of it.
    """

    messages: tuple[ChatMessage, ...]
    tools: tuple[str, ...] = ()
    correction: tuple[ChatMessage, ...] = ()
    chosen: ChatMessage | None = None
    rejected: ChatMessage | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    verdict: Outcome | None = None
    proposal_verdict: Outcome | None = None


@dataclass(frozen=True)
class Item:
    """What one person said of one answer.

    Attributes:
        content: its long part.
        case_document: the case, as JSON text; empty for a chat.
        is_contradicted: another item prefers the other answer of the same two.
        dataset_version_ids: the versions that have rows of it.
        ordinal: its place in the order of storing; 0 before it is stored.
    """

    feedback_item_id: str
    kind: FeedbackKind
    author: str
    create_time: datetime
    subject: Subject
    content: Content
    rating: Rating | None = None
    tag: str = ""
    case_document: str = ""
    version: int = 1
    replaces_feedback_item_id: str = ""
    request_digest: str = ""
    is_contradicted: bool = False
    dataset_version_ids: tuple[str, ...] = ()
    withdraw_time: datetime | None = None
    withdraw_reason: str = ""
    ordinal: int = 0

    @property
    def opinion(self) -> Opinion:
        """What its author thinks of the answer as a whole."""
        if self.kind is FeedbackKind.CORRECTION:
            return Opinion.BAD
        return self.rating.opinion if self.rating else Opinion.NONE

    @property
    def disagrees(self) -> bool:
        """Whether author and judge differ: on the answer, or on which of two answers is the better one."""
        content = self.content
        if self.kind is FeedbackKind.PREFERENCE:
            judged, chosen = content.verdict, content.proposal_verdict
            is_own_rejected = content.rejected == content.messages[-1]
            return bool(is_own_rejected and judged and chosen and judged.conforming and not chosen.conforming)
        if content.verdict is None or self.opinion is Opinion.NONE:
            return False
        return content.verdict.conforming is not (self.opinion is Opinion.GOOD)

    @property
    def pair(self) -> tuple[str, int]:
        """Of a preference, what names its two answers whichever is better, and which of the two it chooses."""
        if self.content.chosen is None or self.content.rejected is None:
            return "", 0
        chosen, rejected = answer_digest(self.content.chosen), answer_digest(self.content.rejected)
        before = [answer_digest(message) for message in self.content.messages[:-1]]
        place = [self.subject.test_suite_version_id, self.subject.case_id, before, sorted((chosen, rejected))]
        return digest_of(place), int(chosen > rejected)


@dataclass(frozen=True)
class ItemFilter:
    """Which items are wanted; what is empty lets all through.

    Attributes:
        kinds: Of these kinds, or of the opinion `or_opinion`.
        is_chat: On answers of chats, which have no protocol.
    """

    kind: FeedbackKind | None = None
    profile_id: str = ""
    model_version_id: str = ""
    test_suite_version_id: str = ""
    tool: str = ""
    tag: str = ""
    author: str = ""
    transcript_id: str = ""
    disagrees: bool = False
    is_contradicted: bool = False
    use: FeedbackUse = FeedbackUse.UNSPECIFIED
    withdrawn_too: bool = False
    kinds: tuple[FeedbackKind, ...] = ()
    or_opinion: Opinion = Opinion.NONE
    is_chat: bool = False


def answer_digest(message: ChatMessage) -> str:
    """Return what two equal answers share; ids of calls do not count."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    return digest_of([message["content"], [(call["name"], call["arguments"]) for call in calls]])


def digest_of(value: Any) -> str:
    """Return a digest of plain JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class AnsweredCase:
    """A transcript: what it is of, the model's answers in it, and whether the token limit ended the last one."""

    subject: Subject
    answers: tuple[ChatMessage, ...]
    is_cut: bool = False


@dataclass(frozen=True)
class AnswersToJudge:
    """Answers to one case, as messages; `is_cut` when the token limit ended the last one."""

    profile_id: str
    case_document: str
    answers: tuple[ChatMessage, ...]
    is_cut: bool = False
