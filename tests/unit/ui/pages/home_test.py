"""The first page: what is at work, what waits, what was reached, and what to do next."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.feedback.v1.loop_pb2 import Loop
from drillyard.registry.v1.model_pb2 import ModelVersion
from drillyard.test_runner.v1.test_run_pb2 import TestRun
from drillyard.trainer.v1.training_job_pb2 import TrainingJob
from google.protobuf.json_format import ParseDict

from services.chassis.errors import Unavailable
from ui.gateway.home.actions import read_home
from ui.gateway.home.views import HomeView, Readings, home_view
from ui.loops.views import loop_progress_view
from ui.models.views import model_tree
from ui.shared.environment import render
from ui.test_runs.views import TestRunView
from ui.test_runs.views import test_run_view as view_of_run
from ui.training_jobs.views import training_job_view

MODELS = model_tree([ModelVersion(model_version_id="small@1")])
DONE = {"state": "JOB_STATE_SUCCEEDED"}


def _run(number: int, model: str, rate: float | None, state: str = "JOB_STATE_SUCCEEDED") -> TestRunView:
    name = f"run-{number}"
    spec = {"model_version_id": model, "test_suite_version_id": "roo_xml/core@1"}
    run = ParseDict({"test_run_id": name, "spec": spec, "job": {"state": state}}, TestRun())
    rates = {"num_cases": 130, "conforming_rate": rate, "conforming_interval": {"low": 0.1, "high": 0.9}}
    judged = {"test_run_id": name, "metrics": {"overall": rates}, "job": DONE}
    return view_of_run(run, ParseDict(judged, Evaluation()) if rate is not None else None)


def _home(**lists: Any) -> HomeView:
    return home_view(Readings(**lists), free_bytes=7 * 10**9)


def test_the_next_step_leads_from_the_first_model_to_a_shipment() -> None:
    loop = loop_progress_view(ParseDict({"loop_id": "loop-1", "job": DONE}, Loop()), {})
    failing, conforming = [_run(1, "small@1", 0.25)], [_run(2, "small@2", 0.85), _run(1, "small@1", 0.25)]
    broken = [_run(1, "small@1", None, "JOB_STATE_FAILED")]
    assert "No test was judged" in _home(models=MODELS, test_runs=broken).next_step.sentence
    steps = [
        _home().next_step,
        _home(models=MODELS).next_step,
        _home(models=MODELS, test_runs=[_run(1, "small@1", None, "JOB_STATE_RUNNING")]).next_step,
        _home(models=MODELS, test_runs=failing).next_step,
        _home(models=MODELS, test_runs=failing, loops=[loop]).next_step,
        _home(models=MODELS, test_runs=conforming).next_step,
    ]
    assert [(step.label, step.address) for step in steps] == [
        ("Import", "./models"),
        ("Test it", "./test-runs?model=small%401"),
        ("See it", "./test-runs"),
        ("Read why", "./test-runs?run=run-1"),
        ("See it", "./loops"),
        ("Ship it", "./shipments"),
    ]
    assert "25% of roo_xml/core@1" in steps[3].sentence


def test_the_best_of_a_suite_is_that_of_all_its_runs_and_what_is_not_judged_counts_for_nothing() -> None:
    runs = [_run(3, "small@3", 0.4), _run(2, "small@2", 0.5), _run(1, "small@1", 0.1), _run(0, "small@0", None)]
    best = _home(models=MODELS, test_runs=runs).best
    assert [(one.subject, one.rate, one.num_cases, one.address) for one in best] == [
        ("small@2", 0.5, 130, "./test-runs?run=run-2")
    ]


def test_what_is_at_work_and_what_waits_are_told_apart() -> None:
    waiting = {"loop_id": "loop-1", "job": {"state": "JOB_STATE_RUNNING"}, "spec": {"model_version_id": "small@1"}}
    paused = {"training_job_id": "train-1", "job": {"state": "JOB_STATE_PAUSED"}, "spec": {"model_version_id": "big@1"}}
    home = _home(
        test_runs=[
            _run(2, "small@2", None, "JOB_STATE_PAUSED"),
            _run(1, "small@1", None, "JOB_STATE_RUNNING"),
            _run(0, "small@1", 0.1),
        ],
        loops=[loop_progress_view(ParseDict(waiting, Loop()), {})],
        training_jobs=[training_job_view(ParseDict(paused, TrainingJob()), [], [])],
    )
    assert [(entry.noun, entry.title) for entry in home.running] == [("loop", "small@1"), ("test", "small@1")]
    assert [(entry.noun, entry.title, entry.address) for entry in home.waiting] == [
        ("training", "big@1", "./training-jobs?job=train-1"),
        ("test", "small@2", "./test-runs?run=run-2"),
    ]
    html = render("home/home", home=home)
    assert "7.00 GB are free" in html and "It is paused" in html


async def test_a_service_that_is_away_is_named_and_the_others_are_shown() -> None:
    async def away(*_: Any) -> None:
        raise Unavailable("The trainer does not answer.")

    async def nothing(*_: Any, **__: Any) -> Any:
        empty = {"test_runs": [], "evaluations": [], "loops": [], "schedules": [], "shipments": [], "imports": []}
        return SimpleNamespace(**empty, model_versions=[ModelVersion(model_version_id="small@1")], next_page_token="")

    class _Stub:
        def __init__(self, call: Any) -> None:
            self._call = call

        def __getattr__(self, name: str) -> Any:
            return self._call

    names = ("registry", "test_runner", "evaluator", "feedback")
    clients: Any = SimpleNamespace(trainer=_Stub(away), **{name: _Stub(nothing) for name in names})
    read, problems = await read_home(clients)
    assert problems == ["The trainer does not answer."]
    assert [model.model_version_id for model in read.models] == ["small@1"]
    html = render("home/home", home=home_view(read, free_bytes=0, problems=problems))
    assert "The trainer does not answer." in html and "A part of the system does not answer" in html
