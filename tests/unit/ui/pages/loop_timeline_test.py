"""The story of a loop, round by round, as the page shows it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest
from drillyard.feedback.v1.loop_answer_pb2 import DecideLoopRequest, DecisionChange
from drillyard.feedback.v1.loop_decision_pb2 import DatasetRecipe, Decision, DecisionAction, DecisionState, SearchTrial
from drillyard.feedback.v1.loop_goal_pb2 import GoalReading, GuardrailReading
from drillyard.feedback.v1.loop_pb2 import GetLoopRequest, GetLoopResponse, Loop, Round
from drillyard.job.v1.job_pb2 import Job, JobState
from drillyard.trainer.v1.method_pb2 import TrainingMethod
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from ui.cli.options import Common
from ui.loops import decision_commands
from ui.loops.reports import decision_texts, loop_facts
from ui.loops.story import Answers
from ui.loops.views import LoopProgress, loop_progress_view
from ui.shared.cache import ServiceCache
from ui.shared.environment import render
from ui.shared.jobs import job_view
from ui.training_jobs.views import CurveView

DECISION = Decision(
    number=1,
    action=DecisionAction.DECISION_ACTION_TRAIN,
    state=DecisionState.DECISION_STATE_WAITING,
    rule="mixed_rollouts",
    reason="9 of 39 probe cases fail, 1 by form <b>.",
    figures={"num_mixed": 12},
    method=TrainingMethod.TRAINING_METHOD_DPO,
    training=TrainingJobSpec(learning_rate=5e-5),
    recipe=DatasetRecipe(num_examples=44),
)


def progress(state: JobState.ValueType = JobState.JOB_STATE_RUNNING) -> LoopProgress:
    first = Round(
        round=0,
        model_version_id="tiny@1",
        evaluated=True,
        conforming_rate=0.4,
        goal_readings=[GoalReading(metric="conforming_rate", value=0.4, low=0.3, high=0.5, sentence="It is 40 %.")],
        guardrail_readings=[
            GuardrailReading(
                test_suite_version_id="text/smoke@1", is_measured=True, is_broken=True, sentence="Lost 3 points."
            )
        ],
        is_rolled_back=True,
        decisions=[DECISION],
        dataset_version_id="roo_xml/loop-1@1",
        training_job_id="train-1",
    )
    return loop_progress_view(Loop(loop_id="loop-1", rounds=[first], job=Job(state=state)), {})


def test_a_round_tells_what_it_reached_kept_decided_and_taught() -> None:
    causes = [{"name": "wrong_arguments", "num_rows": 44}]
    curve = CurveView("loss", "Loss", ((1, 2.0), (2, 1.0)))
    html = render(
        "loops/timeline",
        rounds=progress().rounds,
        mixes={"roo_xml/loop-1@1": causes},
        curves={"train-1": curve},
    )
    for words in ("40 %", "30 % to 50 %", "Lost 3 points.", "rolled back", "wrong arguments", ">44<", "Loss by step"):
        assert words in html, words
    assert "Train by direct preference optimisation" in html and "waiting for a person" in html
    assert "44 rows · learning rate 5e-05" in html and "num mixed" in html
    assert "fail, 1 by form &lt;b&gt;." in html


def test_a_search_is_told_with_its_trials_and_goes_on_while_one_failed() -> None:
    broken = SearchTrial(
        number=1, training_job_id="train-7", is_judged=True, problem="No memory.", sentence="No memory."
    )
    item = Round(dataset_version_id="roo_xml/loop-1@1", trials=[broken])
    job = Job(state=JobState.JOB_STATE_RUNNING)
    failed = job_view(Job(state=JobState.JOB_STATE_FAILED))
    view = loop_progress_view(Loop(rounds=[item], job=job), {"train-7": failed})
    assert {step.step: step.state for step in view.steps}["search"] == "live"
    assert "Trial 1: No memory." in render("loops/timeline", rounds=view.rounds, mixes={}, curves={})


def test_the_report_lists_each_decision_with_its_evidence() -> None:
    trial = SearchTrial(number=1, value=0.5, low=0.3, high=0.7, sentence="learning rate 0.002: 50.0%.")
    facts = loop_facts(Loop(rounds=[Round(round=2, decisions=[DECISION], trials=[trial])]))
    assert [(each["round"], each["sentence"]) for each in facts["trials"]] == [(2, trial.sentence)]
    (decision,) = facts["decisions"]
    assert (decision["round"], decision["number"], decision["reason"]) == (2, 1, DECISION.reason)
    assert decision_texts(decision) == {
        "train by direct preference optimisation (waiting for a person)": DECISION.reason,
        "trained": "44 rows, learning rate 5e-05",
        "evidence": "num mixed 12",
    }


class Gateway:
    """Answers for a loop that waits with decision 4, and keeps what is posted."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/loops/loop-1/progress"
        return {"waiting": {"number": 4, "title": "train by SFT", "reason": "All fail by form."}}

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "/loops/loop-1/decision"
        self.bodies.append(body)
        return {"loop": {}}


def test_the_command_answers_the_decision_that_the_person_saw(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = Gateway()
    monkeypatch.setattr(decision_commands, "connected", lambda _common: nullcontext(gateway))
    decision_commands.approve("loop-1", Common())
    assert "Decision 4, train by SFT: All fail by form." in capsys.readouterr().out
    decision_commands.decide("loop-1", {"go_on": True}, Common(), number=3)
    assert gateway.bodies == [{"number": 4}, {"change": {"go_on": True}, "number": 3}]


def test_the_best_version_so_far_is_marked() -> None:
    loop = Loop(best_model_version_id="tiny@2")
    loop.rounds.extend(
        Round(round=number, model_version_id=f"tiny@{number + 1}", evaluated=True) for number in range(2)
    )
    rounds = loop_progress_view(loop, {}).rounds
    assert [each.is_best for each in rounds] == [False, True]
    assert render("loops/timeline", rounds=rounds, mixes={}, curves={}).count("best so far") == 1


def test_a_decision_waits_only_while_the_loop_lives() -> None:
    waiting = progress().waiting
    assert waiting is not None and waiting.number == 1 and not waiting.is_stop
    assert all(step.state != "live" for step in progress().steps), "nothing works while a person is asked"
    assert progress(JobState.JOB_STATE_CANCELLED).waiting is None


def test_a_loop_that_has_not_begun_has_no_story() -> None:
    assert "section" not in render("loops/timeline", rounds=(), mixes={}, curves={})


class Feedback:
    """Has one loop, whose last decision is `decision`, and keeps what it is answered."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.requests: list[DecideLoopRequest] = []

    async def GetLoop(self, request: GetLoopRequest) -> GetLoopResponse:
        job = Job(state=JobState.JOB_STATE_RUNNING)
        return GetLoopResponse(loop=Loop(loop_id="loop-1", rounds=[Round(decisions=[self.decision])], job=job))

    async def DecideLoop(self, request: DecideLoopRequest) -> None:
        self.requests.append(request)


async def test_the_page_answers_the_decision_that_it_shows_and_none_that_comes_later() -> None:
    feedback = Feedback(DECISION)
    clients = SimpleNamespace(feedback=feedback)
    answers = Answers(ServiceCache(cast(Any, SimpleNamespace(state=SimpleNamespace(clients=clients)))))
    await answers.approve("loop-1", "TRAINING_METHOD_SFT")
    await answers.decide("loop-1", "TRAINING_METHOD_SFT")
    method = TrainingMethod.TRAINING_METHOD_SFT
    assert [each.number for each in feedback.requests] == [1, 1]
    assert [each.change for each in feedback.requests] == [DecisionChange(), DecisionChange(method=method)]
    feedback.decision = Decision(number=1, state=DecisionState.DECISION_STATE_APPROVED)
    assert "waits for nobody" in await answers.approve("loop-1", "TRAINING_METHOD_SFT")
    assert len(feedback.requests) == 2
