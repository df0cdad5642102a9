"""What feedback items need from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from services.chassis.artifacts import Artifact
from services.feedback.domain.agreement import Agreement
from services.feedback.domain.dataset_build import DatasetBuild, DatasetBuildSpec
from services.feedback.domain.item import ChatMessage, Item, ItemFilter, Outcome, Subject
from services.feedback.domain.item_spec import Chat, ChatSession, FeedbackImport, ImportLine, RecordedAnswer
from services.feedback.domain.work import Registration, SuiteVersion
from services.protocols.cases import Case


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


class Transcripts(Protocol):
    """Where transcripts are kept."""

    async def answered_case(self, transcript_id: str) -> AnsweredCase:
        """Return a transcript.

        Raises:
            NotFound: There is none.
        """
        ...


class CaseDocuments(Protocol):
    """Where cases are kept."""

    async def case_document(self, test_suite_version_id: str, case_id: str) -> str:
        """Return a case as JSON text.

        Raises:
            NotFound: There is no such suite, or no such case in it.
        """
        ...


class Judge(Protocol):
    """The judge of each profile."""

    async def judge(self, answers: Sequence[AnswersToJudge]) -> list[Outcome | str]:
        """Return what the judge says of each, in their order, or the sentence why it can say nothing."""
        ...


class ItemFiles(Protocol):
    """Files of items."""

    def lines(self, artifact: Artifact) -> AsyncIterator[ImportLine]:
        """Yield what each line of a file holds that is not blank.

        Raises:
            InvalidArgument: A line is no item or too long; it is named.
            NotFound: There is no such file.
        """
        ...


class ItemLines(Protocol):
    """What the lines of a file say."""

    def checked(self, artifact: Artifact, author: str = "") -> AsyncIterator[list[Item]]:
        """Yield the items of a file, looked up and judged, some hundred at once; `author` is of what it says new.

        Raises:
            InvalidArgument: A line is wrong; it is named.
            NotFound: There is no such file.
        """
        ...


class DatasetFiles(Protocol):
    """The service's own files."""

    def draft(self) -> AbstractContextManager[Path]:
        """Lend an empty folder in which to write what is to be kept; that of a killed process is removed."""
        ...

    async def put_file(self, path: Path, media_type: str = "") -> Artifact:
        """Keep a copy of a file."""
        ...

    async def local_path(self, uri: str) -> Path:
        """Return a local file with an artifact's bytes, to read only."""
        ...


class DatasetRegistry(Protocol):
    """Where datasets, and the suites that they keep clear of, are kept; every call is patient."""

    async def list_test_suites(self) -> tuple[str, ...]:
        """Return every suite version that tests; what a loop drew to probe does not."""
        ...

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        """Return all cases of a suite version in its order."""
        ...

    async def register_dataset(self, request_id: str, registration: Registration) -> str:
        """Register a dataset version once per request id and return its id."""
        ...

    def dataset_rows(self, dataset_version_id: str) -> AsyncIterator[str]:
        """Yield the rows of a dataset version in their order, as JSON text."""
        ...


@dataclass(frozen=True)
class Rollouts:
    """An evaluation of a run that asks each case `num_repeats` times."""

    evaluation_id: str
    profile_id: str
    test_suite_version_id: str
    prompt_size: str
    num_repeats: int
    is_finished: bool


class RolloutSource(Protocol):
    """Where evaluations are kept."""

    async def rollouts(self, evaluation_id: str) -> Rollouts:
        """Return what an evaluation is of.

        Raises:
            NotFound: There is none, or its run is gone.
        """
        ...

    async def causes(self, evaluation_id: str) -> dict[str, list[str]]:
        """Return by case why each of its answers fails, empty for one that conforms."""
        ...


class BuildRegistry(Protocol):
    """What a build that begins looks up in the registry; each method raises NotFound for what is not there."""

    async def resolve_suite(self, test_suite_version_id: str) -> SuiteVersion:
        """Return the version, the newest one for a suite's id."""
        ...

    async def resolve_dataset(self, dataset_version_id: str) -> str:
        """Return the version's id, the newest one's for a dataset's id."""
        ...


class BuildStore(Protocol):
    """Dataset builds, kept as durable jobs."""

    async def create(self, request_id: str, spec: DatasetBuildSpec) -> DatasetBuild:
        """Store a build; the same request id returns the build of the first call.

        Raises:
            AlreadyExists: The request id was used with another spec; the error names the field.
        """
        ...


class ImportStore(Protocol):
    """Imports of items, kept as durable jobs."""

    async def create(self, request_id: str, artifact: Artifact, author: str) -> FeedbackImport:
        """Store an import; the same request id returns the import of the first call.

        Raises:
            AlreadyExists: The request id was used with another file, or by somebody else.
        """
        ...


class ItemStore(Protocol):
    """Where items are kept; an item changes only by being withdrawn."""

    async def add(self, item: Item) -> Item:
        """Store an item and withdraw the one that it replaces, or return the one that is stored under its id.

        Raises:
            Aborted: Another item has taken the place of the one that it replaces.
        """
        ...

    async def add_all(self, items: Sequence[Item]) -> int:
        """Store all items or none; return how many were not there before."""
        ...

    async def known(self, feedback_item_ids: Collection[str]) -> set[str]:
        """Return which of these items are stored; some hundred are looked up at once."""
        ...

    async def get(self, feedback_item_id: str) -> Item | None:
        """Return an item, or None."""
        ...

    async def list(self, item_filter: ItemFilter, before: int, limit: int) -> tuple[Item, ...]:
        """Return up to `limit` wanted items below the ordinal `before`, newest first."""
        ...

    async def list_forward(self, item_filter: ItemFilter, after: int, limit: int) -> tuple[Item, ...]:
        """Return up to `limit` wanted items above the ordinal `after`, oldest first."""
        ...

    async def count(self, item_filter: ItemFilter) -> int:
        """Return the number of wanted items."""
        ...

    async def withdraw(self, feedback_item_id: str, reason: str) -> Item | None:
        """Withdraw an item unless it is already, and return it; None when there is none."""
        ...

    async def agreement(self, item_filter: ItemFilter) -> Agreement:
        """Return how often the newest opinion of each author on an answer is the judge's."""
        ...

    async def mark_used(self, feedback_item_ids: Sequence[str], dataset_version_id: str) -> None:
        """Note that a dataset version has rows of items."""
        ...


class ChatStore(Protocol):
    """Where answers of chats are kept: those that callers have stored for a month, and those of recorded sessions."""

    async def keep_chat(self, chat_completion_id: str, chat: Chat) -> None:
        """Keep an answer; one of a session belongs to it as it is now."""
        ...

    async def get_chat(self, chat_completion_id: str) -> Chat | None:
        """Return an answer of a chat, or None."""
        ...

    async def list_sessions(self, after: str, limit: int) -> tuple[ChatSession, ...]:
        """Return up to `limit` sessions whose names come behind `after`, by name."""
        ...

    async def get_session(self, session_id: str) -> ChatSession | None:
        """Return a session, or None."""
        ...

    async def num_fitting(self, session_id: str, after: tuple[datetime, str] | None, limit: int, max_bytes: int) -> int:
        """Return how many of the next answers of a session, `limit` at most, have `max_bytes` together; one always."""
        ...

    async def list_answers(
        self, session_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> tuple[RecordedAnswer, ...]:
        """Return up to `limit` answers of a session in their order, all or those behind a time and an id."""
        ...

    async def keep_session(self, session_id: str) -> None:
        """Keep what is recorded of a session, and what will be."""
        ...

    async def forget_session(self, session_id: str) -> None:
        """Delete what is recorded of a session."""
        ...
