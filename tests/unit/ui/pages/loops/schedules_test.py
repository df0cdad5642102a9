"""What a person sees of a schedule."""

from __future__ import annotations

from drillyard.feedback.v1 import schedule_pb2, scheduled_run_pb2
from google.protobuf.json_format import ParseDict

from ui.loops.schedules.views import schedule_view
from ui.shared.environment import render

RUN = {
    "scheduled_run_id": "scheduled-run-1",
    "due_time": "2026-11-29T12:00:00Z",
    "num_missed": 2,
    "outcome": "SCHEDULED_RUN_OUTCOME_BROKEN",
    "sentence": "missed: the conforming rate is <b>50.0%</b>",
    "report": {
        "goal_readings": [{"metric": "conforming_rate", "value": 0.5, "low": 0.4, "high": 0.6}],
        "test_run_id": "run/1",
        "loop_id": "loop-1",
    },
}
SCHEDULE = {
    "schedule_id": "schedule-1",
    "spec": {"model_version_id": "tiny:champion", "test_suite_version_id": "roo_xml/core"},
    "state": "SCHEDULE_STATE_ACTIVE",
    "next_due_time": "2026-11-29T13:00:00Z",
    "last_run": RUN,
    "sentence": "Tests tiny:champion on roo_xml/core every hour.",
}


def test_a_schedule_shows_each_due_time_with_its_rate_interval_and_links() -> None:
    schedule = ParseDict(SCHEDULE, schedule_pb2.Schedule())
    going_on = scheduled_run_pb2.ScheduledRun(scheduled_run_id="scheduled-run-2", sentence="waits")
    view = schedule_view(schedule, (going_on, ParseDict(RUN, scheduled_run_pb2.ScheduledRun())))
    html = render("schedules/schedule", one=view)
    assert ">broken</span>" in html and ">goes on</span>" in html and "and 2 missed" in html
    assert "50 %, 95 % interval 40 % to 60 %" in html
    assert "./test-runs?run=run/1" in html and "./loops?loop=loop-1" in html
    assert "&lt;b&gt;50.0%" in html
    assert "tiny:champion" in render("schedules/schedules", schedules=[view], picked="schedule-1")


def test_nothing_is_shown_as_such() -> None:
    assert "No schedule is open" in render("schedules/schedule", one=None)
    assert "Nothing is watched yet" in render("schedules/schedules", schedules=[], picked="")
