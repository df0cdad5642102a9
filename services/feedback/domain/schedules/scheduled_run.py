"""A due time of a schedule: what was run, what it reached, and whether that differs from before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias

from services.chassis.jobs import Job, JobState, Json
from services.chassis.machine.caller import DEFAULT_WORKSPACE
from services.chassis.wire import from_document
from services.feedback.domain.goals import RATES, Goal, Reading
from services.feedback.domain.guardrails import Change
from services.feedback.domain.identifiers import derived_id

SCHEDULED_RUN_KIND = "scheduled_run"


class ScheduledRunOutcome(StrEnum):
    """How a due time ended."""

    MET = "MET"
    DRIFTED = "DRIFTED"
    BROKEN = "BROKEN"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    OVERRUN = "OVERRUN"
    OUT_OF_BUDGET = "OUT_OF_BUDGET"


MEASURED = (ScheduledRunOutcome.MET, ScheduledRunOutcome.DRIFTED, ScheduledRunOutcome.BROKEN)
_NOTICES = {ScheduledRunOutcome.BROKEN: "goal.missed", ScheduledRunOutcome.DRIFTED: "goal.drifted"}
NOT_BEGUN = (ScheduledRunOutcome.OVERRUN, ScheduledRunOutcome.OUT_OF_BUDGET)


class ScheduledRunPhase(StrEnum):
    """What a run does now."""

    TEST = "test"
    EVALUATE = "evaluate"


@dataclass(frozen=True)
class GoalResult:
    """What was reached of a goal, with the interval at its confidence."""

    metric: str
    slice: str
    value: float
    low: float
    high: float
    num_cases: int
    is_met: bool
    sentence: str


@dataclass(frozen=True)
class ScheduledRunReport:
    """What a run made; empty until its step has begun, and the change meaningful where there is a baseline."""

    MESSAGE: ClassVar = "drillyard.feedback.v1.scheduled_run_pb2.ScheduledRunReport"

    model_version_id: str = ""
    test_suite_version_id: str = ""
    test_run_id: str = ""
    evaluation_id: str = ""
    goal_readings: tuple[GoalResult, ...] = ()
    baseline_scheduled_run_id: str = ""
    compared_metric: str = ""
    change: float = 0.0
    change_low: float = 0.0
    change_high: float = 0.0
    has_drifted: bool = False
    machine_seconds: float = 0.0
    loop_id: str = ""
    loop_sentence: str = ""

    @classmethod
    def stored(cls, document: Mapping[str, Any] | None) -> ScheduledRunReport:
        """Return the report that a run's job has stored; an empty one before the first."""
        return from_document(cls, document or {})

    @property
    def is_met(self) -> bool:
        """Whether all goals were measured and met."""
        return bool(self.goal_readings) and all(reading.is_met for reading in self.goal_readings)

    @property
    def outcome(self) -> ScheduledRunOutcome:
        """How a run that has measured ends."""
        if not self.is_met:
            return ScheduledRunOutcome.BROKEN
        has_lost = self.has_drifted and self.change < 0
        return ScheduledRunOutcome.DRIFTED if has_lost else ScheduledRunOutcome.MET

    @property
    def sentence(self) -> str:
        """What was reached, what changed and what follows."""
        words = [("met: " if reading.is_met else "missed: ") + reading.sentence for reading in self.goal_readings]
        if self.baseline_scheduled_run_id:
            verdict = "more than chance" if self.has_drifted else "no more than chance"
            interval = f"{100 * self.change_low:+.1f} to {100 * self.change_high:+.1f}"
            name = self.compared_metric.replace("_", " ")
            words.append(
                f"the {name} changed by {100 * self.change:+.1f} points ({interval}) since "
                f"{self.baseline_scheduled_run_id}, {verdict}"
            )
        sentence = f"{self.model_version_id} on {self.test_suite_version_id}: {'; '.join(words)}."
        return f"{sentence} {self.loop_sentence}".rstrip()


@dataclass(frozen=True)
class ScheduledRun:
    """One due time.

    Attributes:
        due_time: Or the time at which a person asked for it.
        num_missed: Further due times that passed while the service was away.
        outcome: None while it goes on.
        workspace_id: That of its schedule.
    """

    scheduled_run_id: str
    schedule_id: str
    due_time: datetime
    is_manual: bool = False
    num_missed: int = 0
    outcome: ScheduledRunOutcome | None = None
    sentence: str = ""
    report: ScheduledRunReport = ScheduledRunReport()
    workspace_id: str = DEFAULT_WORKSPACE

    def ended(self, outcome: ScheduledRunOutcome, sentence: str) -> ScheduledRun:
        """Return the run as it ended."""
        return replace(self, outcome=outcome, sentence=sentence)


@dataclass(frozen=True)
class PeriodRuns:
    """The runs of a budget's period together.

    Attributes:
        num_begun: How many ran, or run; those that could not begin are none of them.
        machine_seconds: What those that have ended took to test and judge.
        loop_ids: The loops that they started, oldest first.
        going_on_id: One that goes on; empty for none.
    """

    num_begun: int
    machine_seconds: float
    loop_ids: tuple[str, ...]
    going_on_id: str = ""


def run_due(schedule_id: str, due_time: datetime, num_missed: int) -> ScheduledRun:
    """Return the one run of a due time, whoever makes it and however often."""
    run_id = derived_id("scheduled-run", f"{schedule_id} at {due_time.isoformat()}")
    return ScheduledRun(run_id, schedule_id, due_time, num_missed=num_missed)


def run_by_hand(schedule_id: str, request_id: str, now: datetime) -> ScheduledRun:
    """Return the run that a person asks for; the same request id gives the same id."""
    run_id = derived_id("scheduled-run", f"{schedule_id} by {request_id}" if request_id else "")
    return ScheduledRun(run_id, schedule_id, now, is_manual=True)


def ended_run(run: ScheduledRun, job: Job) -> ScheduledRun:
    """Return a run as its job, which has ended, ended it."""
    run = replace(run, report=ScheduledRunReport.stored(job.result or job.saved))
    if job.state is JobState.SUCCEEDED:
        return run.ended(run.report.outcome, run.report.sentence)
    if job.error is not None:
        return run.ended(ScheduledRunOutcome.FAILED, f"{job.error.problem} {job.error.next_step}".rstrip())
    return run.ended(ScheduledRunOutcome.CANCELLED, "Someone cancelled it.")


def goal_notices(job: Job) -> list[tuple[str, Json]]:
    """Return what a run that has ended says of the goals, where they are missed or what is watched has lost."""
    report = ScheduledRunReport.stored(job.result)
    event = _NOTICES.get(report.outcome) if job.state is JobState.SUCCEEDED else None
    if event is None:
        return []
    names = ("sentence", "model_version_id", "test_suite_version_id", "loop_id")
    return [(event, {name: getattr(report, name) for name in names})]


def results_of(goals: Sequence[Goal], readings: Sequence[Reading]) -> tuple[GoalResult, ...]:
    """Return what was reached of each goal."""
    return tuple(
        GoalResult(
            goal.metric,
            goal.slice,
            reading.value,
            *goal.interval(reading),
            reading.num_cases,
            goal.is_met(reading),
            goal.sentence(reading),
        )
        for goal, reading in zip(goals, readings, strict=True)
    )


def compared_metric(goals: Sequence[Goal]) -> str:
    """Return the rate that is compared with earlier runs: the first goal's, or the conforming rate."""
    return goals[0].metric if goals[0].metric in RATES else RATES[0]


def with_change(report: ScheduledRunReport, baseline: ScheduledRun, metric: str, change: Change) -> ScheduledRunReport:
    """Return the report with how much a rate rose since an earlier run, and whether by more than chance."""
    return replace(
        report,
        baseline_scheduled_run_id=baseline.scheduled_run_id,
        compared_metric=metric,
        change=change.mean,
        change_low=change.low,
        change_high=change.high,
        has_drifted=change.low > 0 or change.high < 0,
    )


Decide: TypeAlias = Callable[[PeriodRuns], ScheduledRun]
"""Returns a due time's run as it begins or ends, by the others of its period."""
