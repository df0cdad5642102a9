"""Judges schedules: each due time has one run, or is one that a later run stands for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.storm.databases import Databases, Row
from tests.storm.ledger import SCHEDULED, Ledger
from tests.storm.oracle.judgement import Judgement
from tests.storm.plugin import HOUR_SECONDS

# How each end of a job is told; a run that had none could not begin.
_ENDS = {"SUCCEEDED": {"MET", "DRIFTED", "BROKEN"}, "FAILED": {"FAILED"}, "CANCELLED": {"CANCELLED"}}
_NOT_BEGUN = {"OVERRUN", "OUT_OF_BUDGET"}


def judge_schedules(ledger: Ledger, databases: Databases, judgement: Judgement) -> None:
    """Look for due times that are lost or doubled, and for runs whose job says something else."""
    schedules = {row["schedule_id"]: row for row in databases.read("feedback", "SELECT * FROM schedules")}
    judgement.lost += [f"the schedule {name} is not there" for name in ledger.ids(SCHEDULED) - schedules.keys()]
    judgement.doubled += [f"nobody asked for the schedule {name}" for name in schedules.keys() - ledger.ids(SCHEDULED)]
    states = {
        row["job_id"]: row["state"]
        for row in databases.read("feedback", "SELECT job_id, state FROM jobs WHERE kind = 'scheduled_run'")
    }
    due: dict[str, list[Row]] = {}
    for run in databases.read("feedback", "SELECT * FROM scheduled_runs ORDER BY ordinal"):
        judgement.looked_at["scheduled runs"] += 1
        if not run["is_manual"]:
            due.setdefault(run["schedule_id"], []).append(run)
        state, outcome = states.pop(run["scheduled_run_id"], ""), run["outcome"]
        if outcome not in (_ENDS.get(state, set()) if state else _NOT_BEGUN):
            judgement.wrong.append(f"the run {run['scheduled_run_id']} is {outcome}, its job {state or 'nowhere'}")
    judgement.doubled += [f"the job {job_id} is of no run of a schedule" for job_id in states]
    for schedule_id, schedule in schedules.items():
        _judge_due_times(schedule, due.get(schedule_id, []), judgement)


def _judge_due_times(schedule: Row, runs: list[Row], judgement: Judgement) -> None:
    name, period = schedule["schedule_id"], timedelta(seconds=HOUR_SECONDS * schedule["spec"]["every_hours"])
    expected = _time(schedule["create_time"]) + period
    for run in runs:
        judgement.looked_at["due times"] += 1 + run["num_missed"]
        found = _time(run["due_time"])
        if found != expected:
            kind = judgement.doubled if found < expected else judgement.lost
            kind.append(f"the schedule {name} is due at {found}, after the times before that at {expected}")
        expected = found + (1 + run["num_missed"]) * period


def _time(value: Any) -> datetime:
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)
