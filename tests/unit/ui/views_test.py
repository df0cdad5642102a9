"""View models made from wire messages."""

from typing import Any

import pytest
from drillyard.evaluator.v1.verdict_pb2 import Layer, LayerStatus, Verdict
from drillyard.feedback.v1.loop_goal_pb2 import Budget, Guardrail, GuardrailReading
from drillyard.feedback.v1.loop_pb2 import Loop, LoopSpec, Round
from drillyard.job.v1.job_pb2 import Job, JobError, JobProgress, JobState
from drillyard.registry.v1.export_pb2 import EXPORT_FORM_GGUF, ExportSpec
from drillyard.registry.v1.import_pb2 import Import
from drillyard.registry.v1.model_pb2 import ModelVersion
from drillyard.test_runner.v1.transcript_pb2 import Message, Transcript
from drillyard.trainer.v1.checkpoint_pb2 import CurvePoint
from drillyard.trainer.v1.training_job_pb2 import TrainingJob
from google.protobuf.timestamp_pb2 import Timestamp

from ui.loops.views import loop_progress_view
from ui.models.views import import_view, model_tree
from ui.shared import words
from ui.shared.environment import render
from ui.shared.jobs import JobView, job_view
from ui.test_runs.transcripts import transcript_view
from ui.training_jobs.views import training_job_view

RUNNING, SUCCEEDED, FAILED = JobState.JOB_STATE_RUNNING, JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_FAILED


def _job(state: JobState.ValueType, done: int = 0, total: int = 0) -> JobView:
    return job_view(Job(job_id="j", state=state, progress=JobProgress(phase="train", num_done=done, num_total=total)))


def test_a_time_is_told_in_the_zone_of_whoever_reads_it() -> None:
    when = Timestamp(seconds=1_764_478_800)
    assert words.local_time(when.seconds, "Asia/Tokyo") == "30 Nov 14:00:00"
    assert words.local_time(when.seconds, "America/New_York") == "30 Nov 00:00:00"
    assert '<time datetime="2025-11-30T05:00:00+00:00">' in words.time_text(when)


@pytest.mark.parametrize("zone", ["Nowhere/At_All", "../../etc/passwd", "/etc/passwd", "Europe", "\0", "é"])
def test_a_zone_that_is_none_leaves_the_clock_of_this_machine(zone: str) -> None:
    assert words.local_time(1_764_478_800, zone) == words.local_time(1_764_478_800)


def test_a_running_job_says_its_phase_and_units() -> None:
    job = Job(
        kind="test_run",
        state=RUNNING,
        progress=JobProgress(phase="load_model", num_done=65, num_total=130, unit="cases"),
    )
    view = job_view(job)
    assert (view.state, view.tone, view.percent) == ("running", "live", 50.0)
    assert view.sentence == "loading the model · 65 of 130 cases"


def test_a_failed_job_says_its_problem() -> None:
    view = job_view(Job(state=FAILED, error=JobError(problem="No space is left.", next_step="Free some.")))
    assert (view.tone, view.sentence, view.next_step) == ("bad", "No space is left.", "Free some.")


def test_what_an_import_leaves_aside_is_shown() -> None:
    view = import_view(Import(import_id="i", model_id="m", job=Job(state=SUCCEEDED), notes=["Left: 'a<b>.pt'."]))
    assert "Left: &#39;a&lt;b&gt;.pt&#39;." in render("models/imports", imports=[view])


def test_a_job_with_an_unknown_total_has_no_percentage() -> None:
    assert _job(RUNNING, done=5).percent is None
    progress = JobProgress(phase="read", num_done=5000, unit="rows")
    view = job_view(Job(kind="dataset_import", state=RUNNING, progress=progress))
    assert view.sentence == "reading the rows · 5,000 rows"


def test_every_state_of_the_wire_has_a_tone() -> None:
    for state in JobState.values():
        view = job_view(Job(state=state))
        assert view.is_final == (view.state in ("cancelled", "failed", "succeeded"))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599.4, "59 min 59 s"), (3900, "1 h 05 min")]
)
def test_spans_read_well(seconds: float, text: str) -> None:
    assert words.span_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "0 %"), (0.004, "0.4 %"), (0.78, "78 %"), (0.997, "99.7 %"), (1, "100 %")]
)
def test_a_share_that_is_not_quite_all_or_nothing_says_so(rate: float, text: str) -> None:
    assert words.percent_text(rate) == text


@pytest.mark.parametrize(("size", "text"), [(999, "999 B"), (1000, "1.00 kB"), (269e6, "269 MB"), (19.6e6, "19.6 MB")])
def test_sizes_read_well(size: float, text: str) -> None:
    assert words.size_text(int(size)) == text


def test_versions_stand_below_what_they_were_made_from() -> None:
    versions = [
        ModelVersion(model_version_id="b@1"),
        ModelVersion(model_version_id="a@3", base_model_version_id="a@2"),
        ModelVersion(model_version_id="a@2", base_model_version_id="a@1"),
        ModelVersion(model_version_id="a@1"),
        ModelVersion(model_version_id="c@2", base_model_version_id="gone@1"),
    ]
    tree = [(one.model_version_id, one.depth) for one in model_tree(versions)]
    assert tree == [("b@1", 0), ("a@1", 0), ("a@2", 1), ("a@3", 2), ("c@2", 0)]


def _shown(layers: list[Layer], answer: str = "abcdef") -> tuple[str, str, str]:
    transcript = Transcript(messages=[Message(role="user", content="q"), Message(role="assistant", content=answer)])
    view = transcript_view(transcript, Verdict(layers=layers))
    (shown,) = view.answers
    return shown.before, shown.failing, shown.after


def test_the_span_of_the_first_failing_layer_is_marked() -> None:
    layers = [
        Layer(status=LayerStatus.LAYER_STATUS_PASSED, span_start=0, span_end=6),
        Layer(status=LayerStatus.LAYER_STATUS_FAILED, span_start=2, span_end=4),
        Layer(status=LayerStatus.LAYER_STATUS_FAILED),
    ]
    assert _shown(layers) == ("ab", "cd", "ef")


@pytest.mark.parametrize("span", [(-4, 99), (4, 2), (99, 120)])
def test_a_span_outside_the_answer_loses_no_text(span: tuple[int, int]) -> None:
    parts = _shown([Layer(status=LayerStatus.LAYER_STATUS_FAILED, span_start=span[0], span_end=span[1])])
    assert "".join(parts) == "abcdef"


def test_of_a_step_that_two_attempts_measured_the_later_one_counts() -> None:
    points = [
        CurvePoint(metric="loss", step=1, value=3, attempt=1),
        CurvePoint(metric="loss", step=2, value=2, attempt=2),
        CurvePoint(metric="loss", step=2, value=9, attempt=1),
    ]
    (curve,) = training_job_view(TrainingJob(), points).curves
    assert curve.points == ((1, 3.0), (2, 2.0))


def _states(loop: Loop, jobs: dict[str, JobView]) -> list[tuple[int, str, str]]:
    return [(one.round, one.step, one.state) for one in loop_progress_view(loop, jobs).steps]


def test_a_loop_that_has_just_begun_shows_what_will_come() -> None:
    loop = Loop(job=Job(state=RUNNING), spec=LoopSpec(budget=Budget(max_rounds=1)))
    assert _states(loop, {}) == [(0, "test", "waiting"), (0, "evaluate", "waiting")]


def test_the_step_whose_job_works_is_live_and_later_ones_wait() -> None:
    loop = Loop(
        job=Job(state=RUNNING),
        spec=LoopSpec(budget=Budget(max_rounds=1)),
        rounds=[Round(round=0, test_run_id="t", evaluation_id="e", probe_test_run_id="p")],
    )
    jobs = {"t": _job(SUCCEEDED), "e": _job(SUCCEEDED), "p": _job(RUNNING, 10, 39)}
    assert _states(loop, jobs) == [
        (0, "test", "done"),
        (0, "evaluate", "done"),
        (0, "probe", "live"),
        (0, "probe_evaluate", "waiting"),
        (0, "dataset", "waiting"),
        (0, "train", "waiting"),
        (1, "test", "waiting"),
        (1, "evaluate", "waiting"),
    ]


def test_a_loop_whose_goals_are_set_on_a_form_shows_that_it_is_written() -> None:
    form = ExportSpec(form=EXPORT_FORM_GGUF, number_type="Q8_0")
    loop = Loop(job=Job(state=RUNNING), spec=LoopSpec(budget=Budget(max_rounds=1), goal_form=form))
    assert _states(loop, {}) == [(0, step, "waiting") for step in ("export", "test", "evaluate")]
    assert loop_progress_view(loop, {}).goal_form == "gguf:Q8_0"
    loop.rounds.append(Round(round=0, export_id="x"))
    assert _states(loop, {"x": _job(SUCCEEDED)})[:2] == [(0, "export", "done"), (0, "test", "live")]


def test_a_loop_with_guardrails_shows_the_one_that_is_measured() -> None:
    spec = LoopSpec(budget=Budget(max_rounds=1), guardrails=[Guardrail(), Guardrail()])
    readings = [GuardrailReading(evaluation_id="e0", is_measured=True, sentence="kept"), GuardrailReading()]
    loop = Loop(job=Job(state=RUNNING), spec=spec)
    loop.rounds.append(Round(round=0, test_run_id="t", evaluation_id="e", guardrail_readings=readings))
    jobs = {name: _job(SUCCEEDED) for name in ("t", "e", "e0", "e1")}
    assert _states(loop, jobs)[2:4] == [(0, "guardrail", "live"), (0, "probe", "waiting")]
    assert [(item.sentence, item.is_kept) for item in loop_progress_view(loop, jobs).readings] == [("kept", True)]
    loop.rounds[0].guardrail_readings[1].MergeFrom(GuardrailReading(evaluation_id="e1", is_measured=True))
    assert _states(loop, jobs)[2:4] == [(0, "guardrail", "done"), (0, "probe", "live")]


def test_a_dataset_without_a_job_is_live_until_it_has_an_id() -> None:
    found: dict[str, Any] = {
        "test_run_id": "t",
        "evaluation_id": "e",
        "probe_test_run_id": "p",
        "probe_evaluation_id": "q",
    }
    jobs = {one: _job(SUCCEEDED) for one in ("t", "e", "p", "q")}
    loop = Loop(job=Job(state=RUNNING), spec=LoopSpec(budget=Budget(max_rounds=1)), rounds=[Round(round=0, **found)])
    assert (0, "dataset", "live") in _states(loop, jobs)
    loop.rounds[0].dataset_version_id = "d@1"
    assert (0, "dataset", "done") in _states(loop, jobs)
    assert (0, "train", "live") in _states(loop, jobs)


def test_the_last_round_is_only_tested() -> None:
    rounds = [Round(round=0, test_run_id="t", evaluation_id="e"), Round(round=1, test_run_id="u")]
    loop = Loop(job=Job(state=RUNNING), spec=LoopSpec(budget=Budget(max_rounds=1)), rounds=rounds)
    jobs = {"t": _job(SUCCEEDED), "e": _job(SUCCEEDED), "u": _job(RUNNING)}
    assert _states(loop, jobs)[2:] == [(1, "test", "live"), (1, "evaluate", "waiting")]


def test_a_step_that_failed_says_why() -> None:
    broken = job_view(Job(state=FAILED, error=JobError(problem="Out of memory.")))
    loop = Loop(job=Job(state=FAILED), rounds=[Round(round=0, test_run_id="t")])
    (step,) = [one for one in loop_progress_view(loop, {"t": broken}).steps if one.step == "test"]
    assert (step.state, step.sentence) == ("failed", "Out of memory.")
