"""A durable job as a person sees it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from drillyard.field.v1 import field_pb2
from drillyard.job.v1.job_pb2 import Job, JobState

from ui.shared.words import phase_text, seconds_of, span_text, time_text

# Tone is what colour and sign say: at work, done, broken, ended by request, or waiting.
_TONES = {
    "queued": "waiting",
    "running": "live",
    "pausing": "live",
    "paused": "waiting",
    "cancelling": "live",
    "cancelled": "ended",
    "failed": "bad",
    "succeeded": "good",
}
FINAL_STATES = frozenset(
    value.name for value in JobState.DESCRIPTOR.values if value.GetOptions().Extensions[field_pb2.is_final]
)


@dataclass(frozen=True)
class JobView:
    """State, progress and problem of a job; `percent` is None while the total is not known."""

    job_id: str
    state: str
    tone: str
    is_final: bool
    phase: str
    num_done: int
    num_total: int
    unit: str
    message: str
    percent: float | None
    problem: str
    next_step: str
    attempt: int
    created: str
    create_seconds: float
    seconds: float

    @property
    def sentence(self) -> str:
        """One line on how far it is, such as `training · 3 of 20 steps`."""
        if self.state == "failed":
            return self.problem
        parts = [self.state, self._units()] if self.is_final else [self.phase, self._units(), self.message.rstrip(".")]
        return " · ".join(part for part in parts if part) or self.state

    @property
    def elapsed(self) -> str:
        """How long it has worked, in words."""
        return span_text(self.seconds)

    def _units(self) -> str:
        if not self.num_total:
            return f"{self.num_done:,} {self.unit}" if self.num_done else ""
        return f"{self.num_done:,} of {self.num_total:,} {self.unit}"


def job_view(job: Job) -> JobView:
    """Return the view of a job; times are this machine's."""
    state = JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
    progress = job.progress
    names = progress.num_total > 0
    return JobView(
        job_id=job.job_id,
        state=state,
        tone=_TONES.get(state, "waiting"),
        is_final=JobState.Name(job.state) in FINAL_STATES,
        phase=phase_text(job.kind, progress.phase),
        num_done=progress.num_done,
        num_total=progress.num_total,
        unit=progress.unit,
        message=progress.message,
        percent=min(100.0, 100 * progress.num_done / progress.num_total) if names else None,
        problem=job.error.problem,
        next_step=job.error.next_step,
        attempt=job.attempt,
        created=time_text(job.create_time),
        create_seconds=seconds_of(job.create_time),
        seconds=_seconds(job),
    )


def _seconds(job: Job) -> float:
    start = seconds_of(job.start_time)
    return max(0.0, (seconds_of(job.end_time) or time.time()) - start) if start else 0.0
