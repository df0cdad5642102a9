"""`drillyard schedules` and `drillyard sessions suite`: what they send, and what they print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ui.cli.__main__ import app
from ui.cli.connection import Gateway

SPENT = {"num_runs": 2, "num_loops": 1, "minutes": 3.25, "cost": 0.0}
RUN = {
    "scheduled_run_id": "scheduled-run-1",
    "due_time": "2026-11-29T02:30:00Z",
    "num_missed": 3,
    "outcome": "SCHEDULED_RUN_OUTCOME_OUT_OF_BUDGET",
    "sentence": "Nothing was run.",
}
SCHEDULE = {
    "schedule_id": "schedule-1",
    "spec": {"model_version_id": "tiny:champion", "test_suite_version_id": "text/smoke", "budget": {"period_days": 0}},
    "state": "SCHEDULE_STATE_ACTIVE",
    "next_due_time": "2026-11-30T02:30:00Z",
    "last_run": RUN,
    "spent": SPENT,
    "sentence": "Tests it.",
}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    requests: list[tuple[str, Any]] = []

    def post(self: Gateway, path: str, body: Any = None, **query: Any) -> Any:
        requests.append((path, body))
        if path.endswith("/suites"):
            return {"test_suite_version_ids": ["text/mine@1"], "num_cases": 1}
        return {"schedule": SCHEDULE, "scheduled_run": RUN}

    monkeypatch.setattr(Gateway, "post", post)
    monkeypatch.setattr(Gateway, "get", lambda self, path, **_: {"schedule": SCHEDULE, "scheduled_runs": [RUN]})
    monkeypatch.setattr(
        Gateway, "every", lambda self, path, field, **_: [SCHEDULE, {**SCHEDULE, "next_due_time": None}]
    )
    return requests


def printed(*arguments: str, exit_code: int = 0) -> str:
    answer = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "200"})
    assert answer.exit_code == exit_code, answer.output
    return " ".join(answer.output.split())


def test_a_schedule_is_created_with_its_loop_and_budget(sent: list[tuple[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "loop.json").write_text('{"budget": {"max_rounds": 2}}')
    create = ("schedules", "create", "tiny:champion", "--suite", "text/smoke", "--daily-time", "02:30")
    more = ("--max-loops", "2", "--goal", "accepted_rate>=0.5", "--loop", str(tmp_path / "loop.json"))
    assert "schedule-1 is next due 2026-11-30 02:30 UTC. Tests it." in printed(*create, *more)
    ((path, body),) = sent
    assert path == "/schedules" and body["goals"] == [{"metric": "accepted_rate", "minimum": 0.5}]
    assert (body["on_broken_goal"], body["loop"]) == ("BROKEN_GOAL_ACTION_START_LOOP", {"budget": {"max_rounds": 2}})
    assert (body["daily_time"], body["budget"]) == ("02:30", {"max_loops": 2})
    assert "cannot be read as JSON" in printed(*create, "--loop", str(tmp_path / "missing.json"), exit_code=2)


def test_schedules_are_listed_shown_and_steered(sent: list[tuple[str, Any]]) -> None:
    listed = printed("schedules", "list")
    assert "out of budget" in listed and "paused" in listed
    shown = printed("schedules", "show", "schedule-1")
    assert "runs 2, loops 1, minutes 3.2" in shown and "and 3 missed" in shown and "Nothing was run." in shown
    for verb in ("pause", "resume", "run"):
        printed("schedules", verb, "schedule-1")
    assert [path for path, _ in sent] == [f"/schedules/schedule-1/{verb}" for verb in ("pause", "resume", "run")]


def test_a_suite_of_a_session_sends_right_answers_as_messages(sent: list[tuple[str, Any]]) -> None:
    line = ("sessions", "suite", "zoo", "mine", "--turn", "chatcmpl-2", "--right", "chatcmpl-1=It is so.")
    assert "1 case in text/mine@1." in printed(*line)
    ((path, body),) = sent
    assert path == "/sessions/zoo/suites" and body["suite_name"] == "mine" and body["author"]
    right_answer = {"role": "assistant", "content": "It is so."}
    assert body["turns"] == [
        {"chat_completion_id": "chatcmpl-2"},
        {"chat_completion_id": "chatcmpl-1", "right_answer": right_answer},
    ]
    assert "names no answer" in printed("sessions", "suite", "zoo", "mine", "--right", "words", exit_code=2)
