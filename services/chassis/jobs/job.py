"""What a durable job is: its states, the moves between them, and its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias

from services.chassis.errors import ServiceError
from services.chassis.machine.caller import DEFAULT_WORKSPACE, current_caller, current_workspace

Json: TypeAlias = dict[str, Any]


class JobState(StrEnum):
    """Where a job stands; the last three never change again."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    SUCCEEDED = "SUCCEEDED"

    @property
    def is_final(self) -> bool:
        """Whether the state never changes again."""
        return not TRANSITIONS[self]

    @property
    def is_owned(self) -> bool:
        """Whether a process works on the job, or should."""
        return self in OWNED_STATES


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.PAUSING, JobState.CANCELLING, JobState.FAILED, JobState.SUCCEEDED}),
    # A job that ends before it could pause has ended; one that cannot pause goes on.
    JobState.PAUSING: frozenset(
        {JobState.PAUSED, JobState.RUNNING, JobState.CANCELLING, JobState.FAILED, JobState.SUCCEEDED}
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.FAILED}),
    JobState.CANCELLED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.SUCCEEDED: frozenset(),
}
OWNED_STATES = frozenset({JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING})

STATE_EVENT = "state"
PROGRESS_EVENT = "progress"
ATTEMPT_EVENT = "attempt"
JOB_CALLER = "job:"
# What reading a stored job raises when another release wrote it, or when it is damaged.
UNREADABLE = (ValueError, TypeError, LookupError)


@dataclass(frozen=True)
class JobError:
    """Why a job failed; `code` is a gRPC status name."""

    code: str
    problem: str
    next_step: str = ""


@dataclass(frozen=True)
class Job:
    """One durable piece of work, as its row says at one moment.

    Attributes:
        job_id: Unique within the service.
        kind: What it does, such as `test_run`; names the function that does it.
        state: Where it stands.
        request_id: The caller's id; the same kind and id is the same job.
        spec: What to do. Never changes.
        progress: `phase`, `done`, `total`, `unit`, `message`; empty before the first report.
        result: Set when SUCCEEDED (or CANCELLED after the work was done).
        error: Set when FAILED.
        saved: Small state from which the next attempt goes on.
        attempt: How often work on it has begun.
        epoch: Counts owners; what an older owner writes is refused.
        owner: The process that holds the lease, or None.
        lease_until: End of the lease on the store's lease clock, in its seconds; None when nobody holds it.
        lease_expire_time: The same for people, by the wall clock.
        create_time: When it was stored.
        update_time: When it last changed.
        start_time: When work on it first began.
        end_time: When it reached a final state.
        last_sequence: Sequence of its newest event.
        num_barren_holds: How many holds in a row, the present one among them, have neither made progress nor ended, nor
            given the job back.
        furthest: The most that was ever done in each phase.
        worked_seconds: For how long its holders worked on it, by their monotonic clocks; None before the first hold,
            and of what ended in a release that did not measure it. What a killed holder had not stored is missing.
        ordinal: Order of creation within the store.
        workspace_id: To which it belongs.
        caller: Who asked for it, as in `machine.caller`.
    """

    job_id: str
    kind: str
    state: JobState
    request_id: str
    spec: Json
    create_time: datetime
    update_time: datetime
    progress: Json = field(default_factory=dict)
    result: Json | None = None
    error: JobError | None = None
    saved: Json | None = None
    attempt: int = 0
    epoch: int = 0
    owner: str | None = None
    lease_until: float | None = None
    lease_expire_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    last_sequence: int = 0
    num_barren_holds: int = 0
    furthest: Json = field(default_factory=dict)
    worked_seconds: float | None = None
    ordinal: int = 0
    workspace_id: str = DEFAULT_WORKSPACE
    caller: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the job never changes again."""
        return self.state.is_final

    @property
    def as_caller(self) -> str:
        """Who calls where its work makes other jobs."""
        return f"{JOB_CALLER}{self.job_id}"


def new_job(job_id: str, kind: str, request_id: str, spec: Json, now: datetime) -> Job:
    """Return a job of the caller, in their workspace."""
    return Job(
        job_id=job_id,
        kind=kind,
        state=JobState.QUEUED,
        request_id=request_id or f"once:{job_id}",
        spec=spec,
        create_time=now,
        update_time=now,
        workspace_id=current_workspace.get(),
        caller=current_caller.get(),
    )


def unreadable_job(job_id: str, kind: str, ordinal: int, error: ServiceError) -> Job:
    """Return what a list shows in the place of a job that cannot be read."""
    never = datetime.fromtimestamp(0, UTC)
    problem = JobError(error.code, error.problem, error.next_step)
    return Job(job_id, kind, JobState.FAILED, f"once:{job_id}", {}, never, never, error=problem, ordinal=ordinal)


@dataclass(frozen=True)
class JobEvent:
    """One row of a job's append-only history; sequences start at 1 and have no gaps."""

    job_id: str
    sequence: int
    time: datetime
    type: str
    payload: Json

    @property
    def is_final(self) -> bool:
        """Whether this is the event after which none comes."""
        return self.type == STATE_EVENT and JobState(self.payload["state"]).is_final
