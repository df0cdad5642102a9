"""Where feedback keeps what it has; the errors that calls raise are told by the stores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.chassis.artifacts import Artifact
from services.chassis.jobs import Job
from services.feedback.decisions.decision import DecisionChange
from services.feedback.domain.agreement import Agreement
from services.feedback.domain.dataset_build import DatasetBuild, DatasetBuildSpec
from services.feedback.domain.item import Item, ItemFilter
from services.feedback.domain.item_spec import Chat, ChatSession, FeedbackImport, RecordedAnswer
from services.feedback.domain.loop import Inputs, Loop
from services.feedback.domain.schedules.schedule import Schedule, ScheduleState
from services.feedback.domain.schedules.scheduled_run import Decide, PeriodRuns, ScheduledRun
from services.feedback.domain.shipment import Shipment, ShipmentSpec
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.spending import Spent


class LoopAnswers(Protocol):
    """What persons said to decisions, until the loop is deleted: the first answer to a decision counts."""

    async def give(self, loop_id: str, number: int, change: DecisionChange) -> DecisionChange:
        """Store the answer to a decision unless there is one, and return the one that counts."""

    async def find(self, loop_id: str, number: int) -> DecisionChange | None:
        """Return the answer to a decision, or None."""

    async def forget(self, loop_id: str) -> None:
        """Remove the answers to a loop's decisions."""


class LoopStore(Protocol):
    """Loops; `answers` are those of persons to their decisions."""

    answers: LoopAnswers

    async def get(self, job_id: str) -> Loop:
        """Return a loop."""

    async def find(self, request_id: str) -> Loop | None:
        """Return the loop that was created under this request id, or None."""

    async def create(self, request_id: str, asked: LoopSpec, inputs: Inputs) -> Loop:
        """Store a loop; the same request id returns the loop of the first call."""

    async def list(self, page_size: int = 0, page_token: str = "") -> tuple[list[Loop], str]:
        """Return a page of loops, newest first, and the token of the next page."""

    async def spent(self, loop_ids: Sequence[str]) -> dict[str, Spent]:
        """Return what loops have cost so far, by id; those that were deleted are left out."""

    async def told_steps(self, loop_id: str) -> set[tuple[int, str, str]]:
        """Return round, step and state of every step event of a loop; a decision is a step named by its number."""

    async def step_seconds(self, loop_id: str) -> dict[str, float]:
        """Return how long the steps of a loop took, by name, from the newest round that has ended them."""


class ShipmentStore(Protocol):
    """Shipments."""

    async def find(self, request_id: str) -> Shipment | None:
        """Return the shipment that was created under this request id, or None."""

    async def create(self, request_id: str, asked: ShipmentSpec, inputs: Inputs) -> Shipment:
        """Store a shipment; the same request id returns the shipment of the first call."""


class BuildStore(Protocol):
    """Dataset builds."""

    async def create(self, request_id: str, spec: DatasetBuildSpec) -> DatasetBuild:
        """Store a build; the same request id returns the build of the first call."""


class ImportStore(Protocol):
    """Imports of items."""

    async def create(self, request_id: str, artifact: Artifact, author: str) -> FeedbackImport:
        """Store an import; the same request id returns the import of the first call."""


class ItemStore(Protocol):
    """Items; an item changes only by being withdrawn."""

    async def add(self, item: Item) -> Item:
        """Store an item and withdraw the one that it replaces, or return the one that is stored under its id."""

    async def add_all(self, items: Sequence[Item]) -> int:
        """Store all items or none; return how many were not there before."""

    async def known(self, feedback_item_ids: Collection[str]) -> set[str]:
        """Return which of these items are stored; some hundred are looked up at once."""

    async def get(self, feedback_item_id: str) -> Item | None:
        """Return an item, or None."""

    async def list(self, item_filter: ItemFilter, before: int, limit: int) -> tuple[Item, ...]:
        """Return up to `limit` wanted items below the ordinal `before`, newest first."""

    async def list_forward(self, item_filter: ItemFilter, after: int, limit: int) -> tuple[Item, ...]:
        """Return up to `limit` wanted items above the ordinal `after`, oldest first."""

    async def count(self, item_filter: ItemFilter) -> int:
        """Return the number of wanted items."""

    async def withdraw(self, feedback_item_id: str, reason: str) -> Item | None:
        """Withdraw an item unless it is already, and return it; None when there is none."""

    async def agreement(self, item_filter: ItemFilter) -> Agreement:
        """Return how often the newest opinion of each author on an answer is the judge's."""

    async def mark_used(self, feedback_item_ids: Sequence[str], dataset_version_id: str) -> None:
        """Note that a dataset version has rows of items."""


class ChatStore(Protocol):
    """Answers of chats: those that callers have stored, and those of recorded sessions."""

    async def keep_chat(self, chat_completion_id: str, chat: Chat) -> None:
        """Keep an answer; one of a session belongs to it as it is now."""

    async def get_chat(self, chat_completion_id: str) -> Chat | None:
        """Return an answer of a chat, or None."""

    async def list_sessions(self, after: str, limit: int) -> tuple[ChatSession, ...]:
        """Return up to `limit` sessions whose names come behind `after`, by name."""

    async def get_session(self, session_id: str) -> ChatSession | None:
        """Return a session, or None."""

    async def num_fitting(self, session_id: str, after: tuple[datetime, str] | None, limit: int, max_bytes: int) -> int:
        """Return how many of the next answers of a session, `limit` at most, have `max_bytes` together; one always."""

    async def list_answers(
        self, session_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> tuple[RecordedAnswer, ...]:
        """Return up to `limit` answers of a session in their order, all or those behind a time and an id."""

    async def keep_session(self, session_id: str) -> None:
        """Keep what is recorded of a session, and what will be."""

    async def forget_session(self, session_id: str) -> None:
        """Delete what is recorded of a session."""


class ScheduleStore(Protocol):
    """Schedules."""

    async def add(self, schedule: Schedule) -> Schedule:
        """Store a schedule, or return the one that is stored under its id."""

    async def get(self, schedule_id: str) -> Schedule | None:
        """Return a schedule, or None."""

    async def list(self, before: int, limit: int) -> Sequence[tuple[int, Schedule]]:
        """Return up to `limit` schedules below the ordinal `before`, newest first, each with its ordinal."""

    async def active(self) -> Sequence[Schedule]:
        """Return all whose due times are kept."""

    async def set_state(self, schedule_id: str, state: ScheduleState, next_due_time: datetime | None) -> None:
        """Keep due times from a time on, or none; nothing changes where the state is that already."""

    async def move_due(self, schedule_id: str, expected: datetime, next_due_time: datetime) -> None:
        """Set the next due time, unless it is no longer the expected one."""

    async def delete(self, schedule_id: str) -> Sequence[str] | None:
        """Delete a schedule and its runs and return their ids; None, and nothing is deleted, while one goes on."""

    async def count_outcomes(self) -> Mapping[str, int]:
        """Return how many of the schedules whose due times are kept have ended their newest one in which way."""


class ScheduledRunStore(Protocol):
    """Due times of schedules; one run of a schedule goes on at a time."""

    async def add(
        self, schedule: Schedule, run_id: str, decide: Decide, since: datetime, next_due_time: datetime | None
    ) -> bool:
        """Store the run of a due time and set the next one, in one step; False where it is late."""

    async def get(self, scheduled_run_id: str) -> ScheduledRun | None:
        """Return a run, or None."""

    async def list(self, schedule_id: str, before: int, limit: int) -> Sequence[tuple[int, ScheduledRun]]:
        """Return up to `limit` runs below the ordinal `before`, newest first, each with its ordinal."""

    async def going_on(self) -> Sequence[ScheduledRun]:
        """Return all runs of all schedules that have not ended."""

    async def period(self, schedule_id: str, since: datetime, *, without_id: str = "") -> PeriodRuns:
        """Return the runs of a schedule together that were due since a time, or go on, one of them left out."""

    async def baseline(self, schedule_id: str, test_suite_version_id: str) -> ScheduledRun | None:
        """Return the last run on a suite version that met all goals, else the first that measured, or None."""

    async def end(self, run: ScheduledRun) -> bool:
        """Store how a run ended; False where it had ended before."""


class ScheduledJobs(Protocol):
    """The durable jobs that do the runs; a job has the id of its run."""

    async def begin(self, scheduled_run_id: str) -> Job:
        """Return a run's job as it stands, made where there is none."""

    async def find(self, scheduled_run_id: str) -> Job | None:
        """Return a run's job, or None."""

    async def cancel(self, scheduled_run_id: str) -> Job:
        """Ask a run's job to end."""

    async def delete(self, scheduled_run_id: str) -> None:
        """Remove the job of a run that has ended."""
