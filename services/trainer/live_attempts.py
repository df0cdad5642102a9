"""The attempts that go on in this process, as they last reported, and how they end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.chassis.errors import FailedPrecondition, ServiceError
from services.trainer.domain.attempt import AttemptOutcome, AttemptReport, Checkpoint, PreemptedError, TrainingJobPhase

# In these no step has begun.
_PREPARING = (TrainingJobPhase.START, TrainingJobPhase.CHECK_ROWS, TrainingJobPhase.LOAD_MODEL)


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended, and why in one sentence."""

    outcome: AttemptOutcome
    reason: str = ""
    is_permanent: bool = False


@dataclass
class LiveAttempt:
    """One attempt between its start and its end.

    `has_ended` is set once its end is reported; `moved` is the monotonic time of the last sign that the work goes on:
    a new phase or a new step, since a heartbeat alone proves nothing, or that the processes wait to begin, for what
    `waits_for` says. `checkpoints` are those that were reported, in their order, and `kept` is the monotonic time of
    the newest, or of the first step while there is none. `slot` is the smallest number, from 0, that no other live
    attempt has.
    """

    attempt: int
    slot: int = 0
    phase: str = TrainingJobPhase.START
    num_steps_done: int = 0
    num_steps_total: int = 0
    waits_for: str = ""
    end: AttemptEnd | None = None
    notices: list[str] = field(default_factory=list)
    num_shown_notices: int = 0
    started: float = field(default_factory=time.monotonic)
    moved: float = field(default_factory=time.monotonic)
    kept: float = field(default_factory=time.monotonic)
    tokens_per_second: float = 0.0
    host_memory_bytes: int = 0
    gpu_memory_bytes: int = 0
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)
    checkpoints: asyncio.Queue[Checkpoint | None] = field(default_factory=asyncio.Queue)

    @property
    def place(self) -> tuple[str, str, int, int]:
        """What a person sees of it."""
        return self.waits_for, self.phase, self.num_steps_done, self.num_steps_total

    @property
    def is_preparing(self) -> bool:
        """Whether it has not begun with its first step."""
        return self.phase in _PREPARING

    def take_notices(self) -> list[str]:
        """What a person should know of how the attempt computes, each sentence once."""
        notices = self.notices[self.num_shown_notices :]
        self.num_shown_notices = len(self.notices)
        return notices

    def wait(self, reason: str) -> None:
        """Take note of what the processes wait for before they begin; empty when they do not wait."""
        self.waits_for = reason
        if reason:
            self.moved = time.monotonic()

    def observe(self, report: AttemptReport) -> None:
        """Take note of a report that was stored."""
        for checkpoint in report.checkpoints:
            self.checkpoints.put_nowait(checkpoint)
        if report.checkpoints or self.is_preparing:
            self.kept = time.monotonic()
        speeds = [point.value for point in report.curve_points if point.metric == "tokens_per_second"]
        self.tokens_per_second = speeds[-1] if speeds else self.tokens_per_second
        self.host_memory_bytes = report.host_memory_bytes or self.host_memory_bytes
        self.gpu_memory_bytes = report.gpu_memory_bytes or self.gpu_memory_bytes
        before = self.place
        self.phase = report.phase or self.phase
        # A report whose answer was lost comes again.
        self.notices += [notice for notice in report.notices if notice not in self.notices]
        self.num_steps_done = max(self.num_steps_done, report.num_steps_done)
        self.num_steps_total = report.num_steps_total or self.num_steps_total
        if self.place != before:
            self.moved = time.monotonic()
        if report.outcome is not None and self.end is None:
            self.end = AttemptEnd(report.outcome, report.reason, report.is_permanent)
            self.has_ended.set()


class LiveAttempts:
    """The live attempts by job. A job has one at most.

    Attributes:
        is_draining: Whether this process ends: attempts shall save and end, and the next process goes on.
    """

    def __init__(self) -> None:
        self._live: dict[str, LiveAttempt] = {}
        self.is_draining = False

    def begin(self, training_job_id: str, attempt: int, *, start_step: int) -> LiveAttempt:
        """Begin a new attempt in the place of the job's last one."""
        self._live.pop(training_job_id, None)
        taken = {live.slot for live in self._live.values()}
        slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        self._live[training_job_id] = LiveAttempt(attempt, slot, num_steps_done=start_step)
        return self._live[training_job_id]

    def __iter__(self) -> Iterator[LiveAttempt]:
        """Yield the attempts that go on."""
        return iter(self._live.values())

    def observe(self, report: AttemptReport) -> None:
        """Take note of a report that was stored; one of an attempt that is not live changes nothing."""
        live = self._live.get(report.training_job_id)
        if live is not None and live.attempt == report.attempt:
            live.observe(report)

    async def drain(self, seconds: float) -> None:
        """Let all attempts that have begun to train save and end, for `seconds` at most, and let no other begin."""
        self.is_draining = True
        endings = [asyncio.create_task(live.has_ended.wait()) for live in self._live.values() if not live.is_preparing]
        if endings:
            await asyncio.wait(endings, timeout=seconds)
        for ending in endings:
            ending.cancel()

    def end(self, training_job_id: str) -> None:
        """Forget the job's attempt."""
        self._live.pop(training_job_id, None)


def end_of(live: LiveAttempt, processes: asyncio.Task[int]) -> AttemptEnd:
    """Return the end that was reported, or else the one that the processes' own end tells."""
    if live.end is not None:
        return live.end
    error = processes.exception()
    if isinstance(error, PreemptedError):
        return AttemptEnd(AttemptOutcome.STOPPED, str(error))
    if isinstance(error, ServiceError):
        return AttemptEnd(AttemptOutcome.FAILED, str(error), isinstance(error, FailedPrecondition))
    if error:
        reason = f"The training processes cannot be run: {type(error).__name__}: {error}"
        return AttemptEnd(AttemptOutcome.FAILED, reason)
    exit_code = processes.result()
    if exit_code == -signal.SIGKILL:
        return AttemptEnd(AttemptOutcome.LOST, "The training process was killed, perhaps since memory ran out.")
    if exit_code < 0:
        return AttemptEnd(AttemptOutcome.LOST, f"The training process was ended by signal {-exit_code}.")
    return AttemptEnd(
        AttemptOutcome.FAILED,
        f"The training process ended with code {exit_code} and reported no result; its log is kept in the data folder.",
    )
