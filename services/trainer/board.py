"""The attempts that go on in this process, as they last reported."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from services.trainer.domain.attempt import AttemptOutcome, AttemptReport

FIRST_PHASE = "start_ray"


@dataclass
class LiveAttempt:
    """One attempt between its start and its end.

    `ended` is set once an outcome is reported; `moved` is the monotonic time of the last sign that the work goes on:
    a new phase or a new step, since a heartbeat alone proves nothing.
    """

    attempt: int
    phase: str = FIRST_PHASE
    num_steps_done: int = 0
    num_steps_total: int = 0
    outcome: AttemptOutcome | None = None
    reason: str = ""
    is_permanent: bool = False
    notice: str = ""
    told_notice: str = ""
    started: float = field(default_factory=time.monotonic)
    moved: float = field(default_factory=time.monotonic)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def place(self) -> tuple[str, int, int]:
        """What a person sees of it."""
        return self.phase, self.num_steps_done, self.num_steps_total

    def take_notice(self) -> str:
        """What a person should know of how the attempt computes, once; "" after that."""
        notice = "" if self.notice == self.told_notice else self.notice
        self.told_notice = self.notice
        return notice

    def observe(self, report: AttemptReport) -> None:
        """Take note of a report that was stored."""
        before = self.place
        self.phase = report.phase or self.phase
        self.notice = report.notice or self.notice
        self.num_steps_done = max(self.num_steps_done, report.num_steps_done)
        self.num_steps_total = report.num_steps_total or self.num_steps_total
        if self.place != before:
            self.moved = time.monotonic()
        if report.outcome is not None and self.outcome is None:
            self.outcome, self.reason, self.is_permanent = report.outcome, report.reason, report.is_permanent
            self.ended.set()


class Board:
    """The live attempts by job. A job has one at most."""

    def __init__(self) -> None:
        self._live: dict[str, LiveAttempt] = {}

    def begin(self, training_job_id: str, attempt: int, *, start_step: int) -> LiveAttempt:
        """Put up a new attempt in place of the job's last one."""
        self._live[training_job_id] = LiveAttempt(attempt, num_steps_done=start_step)
        return self._live[training_job_id]

    def observe(self, report: AttemptReport) -> None:
        """Take note of a report that was stored; one of an attempt that is not on the board changes nothing."""
        live = self._live.get(report.training_job_id)
        if live is not None and live.attempt == report.attempt:
            live.observe(report)

    def end(self, training_job_id: str) -> None:
        """Take the job's attempt down."""
        self._live.pop(training_job_id, None)
