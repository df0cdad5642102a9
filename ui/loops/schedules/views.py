"""Schedules and their due times as a person sees them."""

from __future__ import annotations

from dataclasses import dataclass

from drillyard.feedback.v1.schedule_pb2 import SCHEDULE_STATE_PAUSED, Schedule
from drillyard.feedback.v1.scheduled_run_pb2 import ScheduledRun, ScheduledRunOutcome

from ui.shared.words import time_text

_TONES = {"met": "good", "drifted": "warn", "broken": "bad", "failed": "bad"}


@dataclass(frozen=True)
class DueTimeView:
    """A due time; `state` and `tone` make its badge."""

    scheduled_run_id: str
    due: str
    state: str
    tone: str
    num_missed: int
    sentence: str
    value: float
    low: float
    high: float
    is_measured: bool
    test_run_id: str
    loop_id: str


@dataclass(frozen=True)
class ScheduleView:
    """A schedule; of `newest` the badge is shown in lists."""

    schedule_id: str
    model_version_id: str
    test_suite_version_id: str
    sentence: str
    next_due: str
    is_paused: bool
    spent: str
    newest: DueTimeView | None
    runs: tuple[DueTimeView, ...] = ()


def due_time_view(run: ScheduledRun) -> DueTimeView:
    """Return the view of a due time; its figures are those of the first goal."""
    name = ScheduledRunOutcome.Name(run.outcome).removeprefix("SCHEDULED_RUN_OUTCOME_").lower()
    readings = run.report.goal_readings
    value, low, high = (readings[0].value, readings[0].low, readings[0].high) if readings else (0.0, 0.0, 0.0)
    is_share = bool(readings) and not readings[0].metric.startswith("seconds")
    return DueTimeView(
        scheduled_run_id=run.scheduled_run_id,
        due=time_text(run.due_time),
        state="goes on" if not run.outcome else name.replace("_", " "),
        tone=_TONES.get(name, "warn") if run.outcome else "live",
        num_missed=run.num_missed,
        sentence=run.sentence,
        value=value,
        low=low,
        high=high,
        is_measured=is_share,
        test_run_id=run.report.test_run_id,
        loop_id=run.report.loop_id,
    )


def schedule_view(schedule: Schedule, runs: tuple[ScheduledRun, ...] = ()) -> ScheduleView:
    """Return the view of a schedule, with due times where they are given."""
    spent = schedule.spent
    return ScheduleView(
        schedule_id=schedule.schedule_id,
        model_version_id=schedule.spec.model_version_id,
        test_suite_version_id=schedule.spec.test_suite_version_id,
        sentence=schedule.sentence,
        next_due=time_text(schedule.next_due_time),
        is_paused=schedule.state == SCHEDULE_STATE_PAUSED,
        spent=f"runs {spent.num_runs}, loops {spent.num_loops}, minutes {spent.minutes:.1f}",
        newest=due_time_view(schedule.last_run) if schedule.HasField("last_run") else None,
        runs=tuple(map(due_time_view, runs)),
    )
