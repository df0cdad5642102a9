"""A loop that missed its goal is never shown as a success."""

from pathlib import Path

import pytest
from drillyard.feedback.v1 import loop_goal_pb2, loop_pb2
from drillyard.feedback.v1.loop_pb2 import Loop, Round, StopReason
from drillyard.job.v1.job_pb2 import Job, JobError, JobState

from ui.cli.demo import _show
from ui.loops.commands import print_end
from ui.loops.reports import loop_facts
from ui.loops.views import loop_progress_view
from ui.shared.documents import document
from ui.shared.environment import render

MISSED = (
    loop_pb2.STOP_REASON_OUT_OF_ROUNDS,
    loop_pb2.STOP_REASON_OUT_OF_TIME,
    loop_pb2.STOP_REASON_NO_PROGRESS,
)


def ended(stop_reason: StopReason.ValueType) -> Loop:
    return Loop(
        loop_id="loop-1",
        spec=loop_pb2.LoopSpec(goals=[loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.8)]),
        rounds=[Round(round=0, model_version_id="small@1", conforming_rate=0.5, evaluated=True)],
        best_model_version_id="small@2",
        stop_reason=stop_reason,
        stop_sentence="It has ended.",
        next_step="Give it more rounds.",
        job=Job(job_id="loop-1", state=JobState.JOB_STATE_SUCCEEDED),
    )


@pytest.mark.parametrize("stop_reason", MISSED)
def test_the_page_warns_that_the_goal_is_missed_and_says_what_to_try(stop_reason: StopReason.ValueType) -> None:
    view = loop_progress_view(ended(stop_reason), {})
    html = render("loops/loop", one=view, curves=[]) + render("loops/loops", loops=[view], picked="")
    assert html.count('<span class="badge warn">goal not reached</span>') == 2
    assert "Goal not reached." in html
    assert "small@2" in html
    assert "Give it more rounds." in html
    assert "good" not in html


def test_the_page_of_a_loop_that_reached_its_goal_is_green() -> None:
    html = render("loops/loop", one=loop_progress_view(ended(loop_pb2.STOP_REASON_GOALS_MET), {}), curves=[])
    assert '<span class="badge good">goal reached</span>' in html
    assert "Goal not reached" not in html


@pytest.mark.parametrize("stop_reason", MISSED)
def test_the_command_and_the_report_say_so_too(
    stop_reason: StopReason.ValueType, capsys: pytest.CaptureFixture[str]
) -> None:
    print_end(document(ended(stop_reason)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["Goal not reached.", "It has ended.", "Best version: small@2"]
    assert lines[3] == "Try next: Give it more rounds."
    facts = loop_facts(ended(stop_reason))
    assert (facts["outcome"], facts["next_step"]) == ("goal not reached", lines[3].removeprefix("Try next: "))
    assert facts["goals"] == ["conforming rate ≥ 80 %"]


def test_the_command_says_why_a_loop_failed_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    loop = ended(loop_pb2.STOP_REASON_UNSPECIFIED)
    loop.job.state = JobState.JOB_STATE_FAILED
    loop.job.error.CopyFrom(JobError(problem="Line 3 has the id of line 1.", next_step="Correct it."))
    print_end(document(loop))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Failed." and "Line 3 has the id of line 1. Correct it." in lines


def test_the_demo_ends_with_a_command_that_works_outside_the_virtual_environment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    side = {"by_tool": {}, "by_cause": {}, "num_cases": 0}
    loop = loop_facts(ended(loop_pb2.STOP_REASON_OUT_OF_ROUNDS))
    body = {"sentence": "", "before": side, "after": side, "loop": loop, "duration_seconds": 1.0}
    _show(body, Path("report.html"), Path("data/demo"), as_json=False)
    assert "make up DATA=data/demo" in capsys.readouterr().out.splitlines()[-1]


def test_a_loop_whose_goals_are_set_on_no_form_writes_none() -> None:
    loop = ended(loop_pb2.STOP_REASON_GOALS_MET)
    # A service sends the part of the spec whether or not it says anything.
    loop.spec.goal_form.SetInParent()
    assert [step.step for step in loop_progress_view(loop, {}).steps] == ["test", "evaluate"]
