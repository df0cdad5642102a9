"""What a person says of one answer, as it is sent: of a transcript that is here, or of a chat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument, ServiceError
from services.chassis.jobs import Job, JobState
from services.chassis.machine.masking import masked
from services.feedback.domain.item import ChatMessage, FeedbackKind, Item, Rating

FEEDBACK_IMPORT_KIND = "feedback_import"
_MAX_NOTE = 10_000
_MAX_ANSWERS = 100
_ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Preference:
    """Which of two answers is better; None, or the other transcript's id, stands for one that is looked up."""

    chosen: ChatMessage | None = None
    rejected: ChatMessage | None = None
    over_transcript_id: str = ""


@dataclass(frozen=True)
class Chat:
    """An answer of a served model: the conversation, whose last message it is.

    Attributes:
        session_id: the recorded session of a client that it belongs to; empty for none.
        token_ids: the answer's tokens, where they are known.
        is_kept: a person has agreed that it may be learnt from; so has who asked outside a session.
    """

    model_version_id: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    session_id: str = ""
    token_ids: tuple[int, ...] = ()
    is_kept: bool = True

    def masked(self) -> Chat:
        """Return it without secrets and the names of home folders; the tokens, which would spell them, go with them."""
        messages = tuple(map(masked_message, self.messages))
        return replace(
            self,
            messages=messages,
            tools=tuple(map(masked, self.tools)),
            metadata={name: masked(value) for name, value in self.metadata.items()},
            token_ids=self.token_ids if messages[-1] == self.messages[-1] else (),
        )


def masked_message(message: ChatMessage) -> ChatMessage:
    """Return a message without secrets and the names of home folders."""
    calls = [
        {**call, "function": {**call["function"], "arguments": masked(call["function"]["arguments"])}}
        for call in message.get("tool_calls", ())
    ]
    return {**message, "content": masked(message["content"]), **({"tool_calls": calls} if calls else {})}


@dataclass(frozen=True)
class ChatSession:
    """What a client asked under one name; `is_kept` once a person has agreed that it may be learnt from."""

    session_id: str
    num_answers: int
    size_bytes: int
    create_time: datetime
    update_time: datetime
    is_kept: bool


@dataclass(frozen=True)
class RecordedAnswer:
    """An answer of a session, and its place in the order of recording."""

    chat_completion_id: str
    create_time: datetime
    chat: Chat


@dataclass(frozen=True)
class SessionTurn:
    """An answer of a session that becomes a case; without a right answer its newest correction counts."""

    chat_completion_id: str
    right_answer: ChatMessage | None = None


@dataclass(frozen=True)
class SessionSuiteSpec:
    """What becomes a suite; no turns for every answer that has a correction.

    Attributes:
        suite_name: Behind the protocol and a slash.
        scorer: How texts are compared with the right ones, where the client sent no functions.
        threshold: Score, 0 to 1, from which a text conforms.
        author: Whose the right answers are.
        keeps_cases: Whether cases of the newest version stay beside those of the turns.
    """

    suite_name: str
    turns: tuple[SessionTurn, ...]
    scorer: str
    threshold: float
    author: str
    keeps_cases: bool = False


@dataclass(frozen=True)
class ItemSpec:
    """What a person says of one answer; of rating, correction, preference, tag and note exactly one is said."""

    transcript_id: str
    turn: int
    case_id: str
    chat_completion_id: str
    chat: Chat | None
    rating: Rating | None
    correction: tuple[ChatMessage, ...]
    preference: Preference | None
    tag: str
    note: str
    author: str
    replaces_feedback_item_id: str = ""

    @property
    def kind(self) -> FeedbackKind:
        """What it says."""
        said = {
            FeedbackKind.RATING: self.rating is not None,
            FeedbackKind.CORRECTION: bool(self.correction),
            FeedbackKind.PREFERENCE: self.preference is not None,
            FeedbackKind.TAG: bool(self.tag),
        }
        return next((kind for kind, is_said in said.items() if is_said), FeedbackKind.NOTE)

    def check(self) -> None:
        """Raise InvalidArgument, which names the field, unless it names one answer and says one thing of it."""
        self._check_subject()
        said = [self.rating is not None, bool(self.correction), self.preference is not None, bool(self.tag)]
        if sum(said) > 1 or not (any(said) or self.note.strip()):
            raise InvalidArgument(
                "An item says exactly one thing, and this one says several or nothing.",
                "Send one of rating, correction, preference, tag and note; a note may go with any of them.",
                field="spec",
            )
        if len(self.note) > _MAX_NOTE:
            raise InvalidArgument("The note is too long.", f"Send at most {_MAX_NOTE} characters.", field="spec.note")
        if self.rating is not None:
            self.rating.check()
        if len(self.correction) > _MAX_ANSWERS:
            raise InvalidArgument(
                "The correction has too many answers.", f"Send at most {_MAX_ANSWERS}.", field="spec.correction"
            )
        preference = self.preference or Preference()
        if preference.rejected and preference.over_transcript_id:
            raise InvalidArgument(
                "The preference names two worse answers.",
                "Send the worse answer, or name the transcript that has it.",
                field="spec.preference.over_transcript_id",
            )
        _check_answers(self.correction, "spec.correction.answers")
        _check_answers([answer for answer in (preference.chosen, preference.rejected) if answer], "spec.preference")

    def _check_subject(self) -> None:
        subjects = [bool(self.transcript_id), bool(self.chat_completion_id), self.chat is not None]
        if sum(subjects) != 1:
            raise InvalidArgument(
                "An item is about one answer, and this one names none or several.",
                "Name a transcript_id, a chat_completion_id, or send the chat itself.",
                field="spec.transcript_id",
            )
        if self.chat is not None:
            check_chat(self.chat, "spec.chat")


def check_chat(chat: Chat, field_path: str) -> None:
    """Raise InvalidArgument unless a conversation ends with an answer, and its roles and functions can be trained."""
    if len(chat.messages) < 2 or chat.messages[-1]["role"] != "assistant":
        raise InvalidArgument(
            "The conversation does not end with an answer.",
            "Send its messages, the last one of the role assistant.",
            field=f"{field_path}.messages",
        )
    for message in chat.messages:
        if message["role"] not in _ROLES:
            raise InvalidArgument(
                f"A message of the conversation has the role {message['role'][:30]!r}.",
                f"Use one of {', '.join(_ROLES)}.",
                field=f"{field_path}.messages",
            )
    if not all(map(_is_definition, chat.tools)):
        raise InvalidArgument(
            "A function definition of the conversation is no JSON object of a function with a name.",
            "Send each as JSON text in OpenAI's form.",
            field=f"{field_path}.tools",
        )


def _is_definition(text: str) -> bool:
    try:
        definition = json.loads(text)
    except (ValueError, RecursionError):
        return False
    function = definition.get("function") if isinstance(definition, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _check_answers(answers: Iterable[ChatMessage], field_path: str) -> None:
    for answer in answers:
        if answer["role"] not in ("assistant", ""):
            raise InvalidArgument(
                f"A proposed answer has the role {answer['role'][:30]!r}.",
                "Send messages of the role assistant.",
                field=field_path,
            )
        if not answer["content"].strip() and not answer.get("tool_calls"):
            raise InvalidArgument("A proposed answer is empty.", "Write the answer.", field=field_path)


@dataclass(frozen=True)
class ImportLine:
    """A line of a file: its number from 1, and the item that it holds, or what it says of an answer that is here."""

    number: int
    entry: Item | ItemSpec


class FeedbackImportPhase(StrEnum):
    """What an import does now."""

    CHECK = "check"
    STORE = "store"


@dataclass(frozen=True)
class CheckedFile:
    """A file of items that were looked up and judged: batches of them, a JSON array a line."""

    artifact: Artifact
    num_items: int
    num_new: int


@dataclass(frozen=True)
class FeedbackImport:
    """A durable job that stores the items of a file; what is checked is None until every line is.

    Who logged in is the `author` of what the file says new.
    """

    job: Job
    artifact: Artifact
    author: str
    checked: CheckedFile | None

    @property
    def num_imported(self) -> int:
        """Items that were stored; 0 until it has succeeded."""
        return self.checked.num_new if self.checked and self.job.state is JobState.SUCCEEDED else 0

    @property
    def num_known(self) -> int:
        """Items that were here already; 0 until it has succeeded."""
        is_done = self.checked is not None and self.job.state is JobState.SUCCEEDED
        return self.checked.num_items - self.checked.num_new if self.checked and is_done else 0


def import_of(job: Job) -> FeedbackImport:
    """Return the import that a job of kind `FEEDBACK_IMPORT_KIND` is."""
    saved: dict[str, Any] = dict(job.saved or {})
    checked = CheckedFile(**{**saved, "artifact": Artifact(**saved["artifact"])}) if saved else None
    return FeedbackImport(job, Artifact(**job.spec["artifact"]), job.spec["author"], checked)


def line_error(number: int, error: ServiceError) -> InvalidArgument:
    """Return the error for one line of a file."""
    return InvalidArgument(
        f"Line {number}: {error.problem}",
        f"{error.next_step} Nothing of the file was stored.".lstrip(),
        line=str(number),
    )
