"""Improvement loops as a person sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drillyard.feedback.v1.loop_decision_pb2 import DecisionState
from drillyard.feedback.v1.loop_pb2 import Loop, Round, StopReason

from ui.loops.goals import goal_text, guardrail_text
from ui.loops.outcomes import Outcome, outcome_of
from ui.loops.timeline import DecisionView, RoundView, round_views, waiting_decision
from ui.models.exports.forms import form_text
from ui.shared.jobs import JobView, job_view

# The steps of a round in their order: name, title, and the field of `Round` that is set once it has begun.
_STEPS = (
    ("export", "Write the form", "export_id"),
    ("test", "Test", "test_run_id"),
    ("evaluate", "Evaluate", "evaluation_id"),
    ("guardrail", "Test the guardrails", "guardrail_readings"),
    ("probe", "Probe", "probe_test_run_id"),
    ("probe_evaluate", "Judge the probe", "probe_evaluation_id"),
    ("sample", "Draw answers", "sample_test_run_id"),
    ("sample_evaluate", "Judge what was drawn", "sample_evaluation_id"),
    ("dataset", "Build dataset", "dataset_version_id"),
    ("search", "Search for settings", "trials"),
    ("train", "Train", "training_job_id"),
)
_TESTING = ("export", "test", "evaluate", "guardrail")
_DRAWING = ("sample", "sample_evaluate")


@dataclass(frozen=True)
class StepView:
    """One step of a round; `state` is waiting, live, done, failed or skipped."""

    round: int
    step: str
    title: str
    state: str
    resource_id: str
    sentence: str
    percent: float | None
    seconds: float


@dataclass(frozen=True)
class ReadingView:
    """What a round reached of a goal, or kept of a guardrail."""

    round: int
    sentence: str
    is_kept: bool


@dataclass(frozen=True)
class LoopProgress:
    """How far a loop has come: every step that it has made, makes, or will make in this round."""

    loop_id: str
    model_version_id: str
    test_suite_version_id: str
    best_model_version_id: str
    goals: tuple[str, ...]
    guardrails: tuple[str, ...]
    status_sentence: str
    readings: tuple[ReadingView, ...]
    goal_form: str
    steps: tuple[StepView, ...]
    stop_reason: str
    stop_sentence: str
    next_step: str
    outcome: Outcome
    job: JobView
    rounds: tuple[RoundView, ...]
    waiting: DecisionView | None


def loop_progress_view(loop: Loop, jobs: Mapping[str, JobView]) -> LoopProgress:
    """Return how far a loop has come.

    Args:
        loop: The loop.
        jobs: The jobs of its steps, by id; a step whose job is missing counts as under way.
    """
    job = job_view(loop.job)
    stop_reason = StopReason.Name(loop.stop_reason).removeprefix("STOP_REASON_").lower().replace("unspecified", "")
    steps = tuple(step for loop_round in loop.rounds for step in _round_steps(loop_round, loop, jobs))
    rounds = round_views(loop)
    return LoopProgress(
        loop_id=loop.loop_id,
        model_version_id=loop.spec.model_version_id,
        test_suite_version_id=loop.spec.test_suite_version_id,
        best_model_version_id=loop.best_model_version_id,
        goals=tuple(goal_text(goal) for goal in loop.spec.goals),
        guardrails=tuple(guardrail_text(guardrail) for guardrail in loop.spec.guardrails),
        status_sentence=loop.status_sentence,
        readings=tuple(reading for item in loop.rounds for reading in _readings(item)),
        goal_form=form_text(loop.spec.goal_form.form, loop.spec.goal_form.number_type) if _is_on_form(loop) else "",
        steps=steps if job.is_final else steps + _steps_to_come(loop),
        stop_reason=stop_reason,
        stop_sentence=loop.stop_sentence,
        next_step=loop.next_step,
        outcome=outcome_of(stop_reason, job.state, job.tone),
        job=job,
        rounds=rounds,
        waiting=None if job.is_final else waiting_decision(rounds),
    )


def _round_steps(item: Round, loop: Loop, jobs: Mapping[str, JobView]) -> list[StepView]:
    is_last = item.round == loop.rounds[-1].round
    is_open = is_last and not job_view(loop.job).is_final
    asks = bool(item.decisions) and item.decisions[-1].state == DecisionState.DECISION_STATE_WAITING
    steps = _steps_of(loop, item)
    several = {"guardrail": guardrail_id, "search": trial_id}
    ids = [several[step](item) if step in several else str(getattr(item, field)) for step, _, field in steps]
    num_tests = sum(step in _TESTING for step, _, _ in steps)
    num_shown = len(steps) if is_open and item.round < (loop.spec.budget.max_rounds or 1) else num_tests
    num_shown = max(num_shown, *(place + 1 for place, result in enumerate(ids) if result), 1)
    views: list[StepView] = []
    for (step, title, _), resource_id in list(zip(steps, ids, strict=True))[:num_shown]:
        job = jobs.get(resource_id)
        may_begin = is_open and not asks and all(view.state == "done" for view in views)
        state = _state(resource_id, job, may_begin=may_begin)
        if step == "search" and is_open:
            # A trial that fails ends no search, and one that has ended is not the last.
            state = "done" if any(decision.rule == "search" for decision in item.decisions) else "live"
        views.append(_step_view(item.round, step, _title(step, title, item.round), state, resource_id, job))
    return views


def _steps_to_come(loop: Loop) -> tuple[StepView, ...]:
    """The test that follows the training that is under way."""
    following = loop.rounds[-1].round + 1 if loop.rounds else 0
    if loop.rounds and following > (loop.spec.budget.max_rounds or 1):
        return ()
    return tuple(
        _step_view(following, step, _title(step, title, following), "waiting", "", None)
        for step, title, _ in _steps_of(loop, Round())
        if step in _TESTING
    )


def _steps_of(loop: Loop, item: Round) -> tuple[tuple[str, str, str], ...]:
    """The steps that a round has; answers are drawn, and settings searched for, only where a decision says so."""
    needs = {
        "export": _is_on_form(loop),
        "guardrail": bool(loop.spec.guardrails),
        "search": bool(item.trials),
        **dict.fromkeys(_DRAWING, bool(item.sample_test_run_id)),
    }
    return tuple(entry for entry in _STEPS if needs.get(entry[0], True))


def _is_on_form(loop: Loop) -> bool:
    """Whether a form of the version is what has to meet the goals."""
    return bool(loop.spec.goal_form.form)


def _title(step: str, title: str, number: int) -> str:
    return f"{title} again" if number and step in ("test", "evaluate", "guardrail") else title


def _readings(item: Round) -> list[ReadingView]:
    measured = [reading for reading in item.guardrail_readings if reading.is_measured]
    return [
        *(ReadingView(item.round, reading.sentence, reading.is_met) for reading in item.goal_readings),
        *(ReadingView(item.round, reading.sentence, not reading.is_broken) for reading in measured),
    ]


def guardrail_id(item: Round) -> str:
    """Return the evaluation of the guardrail that is measured, else of the last; empty before the first has begun."""
    readings = item.guardrail_readings
    return next(
        (each.evaluation_id for each in readings if not each.is_measured),
        readings[-1].evaluation_id if readings else "",
    )


def trial_id(item: Round) -> str:
    """Return the training of the trial that is under way, else of the last; empty before the first has begun."""
    return next((trial.training_job_id for trial in reversed(item.trials) if trial.training_job_id), "")


def _state(resource_id: str, job: JobView | None, *, may_begin: bool) -> str:
    if not resource_id:
        return "live" if may_begin else "waiting"
    if job is None:
        return "done" if not may_begin or "@" in resource_id else "live"
    return {"good": "done", "bad": "failed", "ended": "failed"}.get(job.tone, "live")


def _step_view(number: int, step: str, title: str, state: str, resource_id: str, job: JobView | None) -> StepView:
    sentence = job.sentence if job and state in ("live", "failed") else ""
    percent = job.percent if job and state == "live" else None
    return StepView(number, step, title, state, resource_id, sentence, percent, job.seconds if job else 0.0)
