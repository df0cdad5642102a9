"""The moves of a job as pure functions: a job in, the changed job and its new events out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.chassis.jobs.job import (
    ATTEMPT_EVENT,
    PROGRESS_EVENT,
    STATE_EVENT,
    TRANSITIONS,
    Job,
    JobError,
    JobEvent,
    JobState,
    Json,
)
from services.chassis.machine.caller import current_caller, refuse_beyond_quota

RESERVED_EVENTS = frozenset({STATE_EVENT, PROGRESS_EVENT, ATTEMPT_EVENT})
# In the stored progress while the holder only waits for others.
_WAITS = "waits"
_OUTCOMES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED})


@dataclass(frozen=True)
class Change:
    """A job after a move, and the events that tell of it."""

    job: Job
    events: tuple[JobEvent, ...]


@dataclass(frozen=True)
class Lease:
    """Who takes a job, and until when by the store's lease clock (`until`) and by the wall clock."""

    owner: str
    until: float
    expire_time: datetime

    @classmethod
    def starting(cls, owner: str, *, seconds: float, clock: float, now: datetime) -> Lease:
        """Return a lease of `seconds` from `clock` and `now`."""
        return cls(owner, clock + seconds, now + timedelta(seconds=seconds))


def told(job: Job, now: datetime, type_: str, payload: Json) -> Change:
    """Return the job with one more event; one of its state says who asked for it, if that is known."""
    caller = current_caller.get()
    if type_ == STATE_EVENT and caller not in ("", job.as_caller):
        payload = {**payload, "caller": caller}
    event = JobEvent(job.job_id, job.last_sequence + 1, now, type_, payload)
    return Change(replace(job, last_sequence=event.sequence, update_time=now), (event,))


def moved(job: Job, state: JobState, now: datetime, payload: Json | None = None, **changes: Any) -> Change:
    """Return the job in `state` with its state event.

    Raises:
        FailedPrecondition: The job may not go from its state to that one.
    """
    if state not in TRANSITIONS[job.state]:
        raise FailedPrecondition(
            f"The job {job.job_id} is {job.state} and cannot become {state}.", "Look at the job's state first."
        )
    if state.is_final:
        changes.setdefault("end_time", now)
    if not state.is_owned:
        changes |= {"owner": None, "lease_until": None, "lease_expire_time": None}
    return told(replace(job, state=state, **changes), now, STATE_EVENT, {"state": str(state), **(payload or {})})


def num_deaths(job: Job) -> int:
    """Return how many holders in a row died of the job, by what is known if the last one is dead.

    One that last reported that it waits for others did not die of the job.
    """
    return max(job.num_barren_holds - int(_WAITS in job.progress), 0)


def claimed(job: Job, lease: Lease, now: datetime) -> Change:
    """Return the job in the hands of the lease's owner, with a new epoch and attempt."""
    held = replace(
        job,
        owner=lease.owner,
        epoch=job.epoch + 1,
        attempt=job.attempt + 1,
        num_barren_holds=num_deaths(job) + 1,
        progress=_without_wait(job.progress),
        lease_until=lease.until,
        lease_expire_time=lease.expire_time,
        start_time=job.start_time or now,
        worked_seconds=_worked_before(job),
    )
    facts: Json = {"attempt": held.attempt, "epoch": held.epoch}
    if job.state is JobState.QUEUED:
        return moved(held, JobState.RUNNING, now, facts)
    return told(held, now, ATTEMPT_EVENT, facts)


def _worked_before(job: Job) -> float:
    """Return for how long earlier holders worked on a job, by its times if the last one was of a release without it."""
    if job.worked_seconds is None and job.start_time is not None:
        return max((job.update_time - job.start_time).total_seconds(), 0.0)
    return job.worked_seconds or 0.0


def worked(job: Job, seconds: float | None) -> Job:
    """Return the job with the time of its holders up to now, which never shrinks; None leaves it as it is."""
    return job if seconds is None else replace(job, worked_seconds=max(job.worked_seconds or 0.0, seconds))


def released(job: Job) -> Job:
    """Return the job without a lease; its holder gave it back, so nothing is held against the job."""
    return replace(
        job,
        lease_until=None,
        lease_expire_time=None,
        num_barren_holds=max(job.num_barren_holds - 1, 0),
        progress=_without_wait(job.progress),
    )


def killed(job: Job, now: datetime) -> Change:
    """Return the job FAILED, since too many of its holders in a row died; CANCELLED if that was asked."""
    if job.state is JobState.CANCELLING:
        return moved(job, JobState.CANCELLED, now)
    return finished(job, JobState.FAILED, now, error=error_of_deaths(job, num_deaths(job)))


def error_of_deaths(job: Job, num_ended: int) -> JobError:
    """Return why a job is given up of which so many holders in a row died, with what was at work, if reported."""
    progress, count = job.progress, ""
    if progress.get("total"):
        count = f"{progress.get('done', 0)} of {progress['total']} {progress.get('unit', '')}".rstrip()
    at_work = [str(part) for part in (progress.get("phase"), progress.get("message"), count) if part]
    return JobError(
        "ABORTED",
        f"The service ended {num_ended} times in a row while it worked on this job, without progress "
        f"between. At work was: {', '.join(at_work) or 'nothing that was reported'}.",
        "Look in the log of the service and of the system for why it ended, often want of memory; then start again.",
    )


def progressed(job: Job, now: datetime, progress: Json, *, waits: bool) -> Change:
    """Return the job with a progress report.

    It clears the job of earlier deaths when a phase is new or more of it is done than ever. While the job `waits`, as
    the work goes on elsewhere, a process that ends does not end by it.
    """
    phase, done = str(progress.get("phase", "")), progress.get("done", 0)
    is_further = phase not in job.furthest or done > job.furthest[phase]
    if is_further:
        job = replace(job, furthest={**job.furthest, phase: done}, num_barren_holds=0)
    stored = {**progress, _WAITS: True} if waits else progress
    return told(replace(job, progress=stored), now, PROGRESS_EVENT, progress)


def saved(job: Job, now: datetime, state: Json) -> Change:
    """Return the job with a checkpoint; one that differs from the last is progress."""
    num_barren_holds = job.num_barren_holds if state == job.saved else 0
    return Change(replace(job, saved=state, num_barren_holds=num_barren_holds, update_time=now), ())


def cancel_requested(job: Job, now: datetime) -> Change:
    """Return the job CANCELLED if nobody works on it, else CANCELLING; unchanged when it already is.

    Raises:
        FailedPrecondition: The job has ended otherwise.
    """
    if job.state in (JobState.CANCELLING, JobState.CANCELLED):
        return Change(job, ())
    return moved(job, JobState.CANCELLING if job.state.is_owned else JobState.CANCELLED, now)


def pause_requested(job: Job, now: datetime) -> Change:
    """Return the job PAUSED if nobody works on it, else PAUSING; unchanged when it already is.

    Raises:
        FailedPrecondition: The job has ended or is being cancelled.
    """
    if job.state in (JobState.PAUSING, JobState.PAUSED):
        return Change(job, ())
    return moved(job, JobState.PAUSED if job.state is JobState.QUEUED else JobState.PAUSING, now)


def resumed(job: Job, now: datetime) -> Change:
    """Return a PAUSED job QUEUED again; unchanged when it is queued or running.

    Raises:
        FailedPrecondition: The job is neither.
        QuotaExceeded: It is paused, and a quota of its workspace is used up.
    """
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        return Change(job, ())
    if job.state is JobState.PAUSED:
        refuse_beyond_quota()
    return moved(job, JobState.QUEUED, now, num_barren_holds=0)


def finished(
    job: Job, state: JobState, now: datetime, *, result: Json | None = None, error: JobError | None = None
) -> Change:
    """Return the job as its owner ended it: SUCCEEDED, FAILED, CANCELLED or PAUSED.

    An accepted cancel wins over work that was done at the same moment; the result is kept.

    Raises:
        InvalidArgument: `state` is no outcome.
        FailedPrecondition: The job may not end so.
    """
    if state not in _OUTCOMES:
        raise InvalidArgument(f"A job cannot end as {state}.", f"Use one of {', '.join(sorted(_OUTCOMES))}.")
    if job.state is JobState.CANCELLING and state in (JobState.SUCCEEDED, JobState.PAUSED):
        state = JobState.CANCELLED
    payload: Json = {}
    if error is not None:
        payload = {"code": error.code, "problem": error.problem, "next_step": error.next_step}
    return moved(job, state, now, payload, result=result, error=error)


def pause_declined(job: Job, now: datetime, reason: str) -> Change:
    """Return a PAUSING job RUNNING again, with the reason in its event; unchanged in any other state."""
    if job.state is not JobState.PAUSING:
        return Change(job, ())
    return moved(job, JobState.RUNNING, now, {"pause_declined": reason})


def _without_wait(progress: Json) -> Json:
    return {name: value for name, value in progress.items() if name != _WAITS}


def check_epoch(job: Job, epoch: int) -> None:
    """Return when `epoch` is that of the job's owner.

    Raises:
        FailedPrecondition: Another process took the job over, or nobody owns it any more.
    """
    if job.epoch != epoch or not job.state.is_owned:
        raise FailedPrecondition(
            f"Epoch {epoch} of the job {job.job_id} has ended: it is {job.state} in epoch {job.epoch}.",
            "Stop this work; its owner has changed.",
        )


def check_ended(job: Job) -> None:
    """Return when the job has ended.

    Raises:
        FailedPrecondition: It has not.
    """
    if not job.is_final:
        raise FailedPrecondition(f"The job {job.job_id} is {job.state}.", "Cancel it first, or wait for its end.")


def plain_json(value: Json, name: str) -> Json:
    """Return `value` as it will be read back from the store.

    Raises:
        InvalidArgument: It is not JSON, or holds NaN or an infinity.
    """
    try:
        plain: Json = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"The {name} cannot be stored as JSON: {error}.", "Send plain finite values.") from error
    return plain


def first_difference(left: object, right: object, path: str = "") -> str:
    """Return the dotted path of the first field in which two JSON values differ, or an empty string."""
    return next(_differences(left, right, path), "")


def _differences(left: object, right: object, path: str) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            place = f"{path}.{key}" if path else str(key)
            if key in left and key in right:
                yield from _differences(left[key], right[key], place)
            else:
                yield place
    elif left != right or type(left) is not type(right):
        yield path or "spec"
