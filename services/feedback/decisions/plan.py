"""What a loop would do, by the rules that decide when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from services.feedback.decisions.decision import Decision
from services.feedback.decisions.evidence import Evidence, Rollouts
from services.feedback.decisions.search import search_decision
from services.feedback.decisions.training import on_probe, wants_rollouts
from services.feedback.domain.rounds import Step
from services.feedback.domain.spec import LoopSpec

_DEFAULT_BATCH_SIZE = 4


@dataclass(frozen=True)
class PlannedStep:
    """A step that would be done, on what, and how long its like took; 0 seconds where nothing was measured."""

    step: Step
    message: str
    seconds: float


@dataclass(frozen=True)
class PlannedDecision:
    """What would be done if the probe showed something."""

    condition: str
    decision: Decision


@dataclass(frozen=True)
class LoopPlan:
    """What a loop would do.

    Attributes:
        spec: Its ids are those of versions.
        stop: Why it would end before anything is tested; None where it would not.
        first_steps: Before the first training.
        round_steps: What each round of training adds.
        decisions: What the first one depends on, the rules in their order.
        seconds: Until all rounds are used; 0 where a step was never measured.
        sentence: The same for a person.
    """

    spec: LoopSpec
    stop: Decision | None
    first_steps: tuple[PlannedStep, ...]
    round_steps: tuple[PlannedStep, ...]
    decisions: tuple[PlannedDecision, ...]
    seconds: float
    sentence: str


def plan_of(
    spec: LoopSpec, stop: Decision | None, suite_sizes: Mapping[str, int], seconds: Mapping[str, float]
) -> LoopPlan:
    """Return what a loop would do.

    Args:
        spec: With ids of versions.
        stop: The decision on the template.
        suite_sizes: Cases of each suite, the loop's own and its guardrails'.
        seconds: How long each step would take, by its name, where its like was measured.
    """
    first, probing = _testing_steps(spec, suite_sizes, seconds), _probing_steps(spec, seconds)
    known = [step.seconds for step in (*first, *probing) if step.step is not Step.DIAGNOSE]
    total = sum(known) * spec.budget.max_rounds + sum(step.seconds for step in first) if all(known) else 0.0
    return LoopPlan(
        spec,
        stop,
        (_planned(Step.DIAGNOSE, f"the template of {spec.model_version_id}", seconds), *first),
        (*probing, *first),
        _decisions(spec),
        total,
        _sentence(spec, stop, total),
    )


def _testing_steps(
    spec: LoopSpec, suite_sizes: Mapping[str, int], seconds: Mapping[str, float]
) -> tuple[PlannedStep, ...]:
    own, repeats = spec.test_suite_version_id, f", {spec.num_repeats} answers each" * (spec.num_repeats > 1)
    form = f", written as {spec.shipped_as} before" * bool(spec.goal_form)
    test = _planned(Step.TEST, f"{suite_sizes[own]} cases of {own}{repeats}{form}", seconds)
    guardrails = [guardrail.test_suite_version_id for guardrail in spec.guardrails]
    num_cases = sum(suite_sizes[suite] for suite in guardrails)
    if not guardrails:
        return (test,)
    return test, _planned(Step.GUARDRAIL, f"{num_cases} cases of {', '.join(guardrails)}", seconds)


def _probing_steps(spec: LoopSpec, seconds: Mapping[str, float]) -> tuple[PlannedStep, ...]:
    num_epochs = int(spec.training.get("num_epochs", 1))
    batch_size = int(spec.training.get("batch_size", _DEFAULT_BATCH_SIZE))
    num_steps = int(spec.training.get("max_steps", 0)) or num_epochs * ceil(spec.num_examples / batch_size)
    return (
        _planned(Step.PROBE, f"{spec.num_probe_cases} cases of the training material", seconds),
        _planned(Step.DATASET, f"{spec.num_examples} rows", seconds),
        _planned(Step.TRAIN, f"{num_steps} steps of {batch_size} rows", seconds),
    )


def _planned(step: Step, message: str, seconds: Mapping[str, float]) -> PlannedStep:
    return PlannedStep(step, message, seconds.get(step, 0.0))


def _decisions(spec: LoopSpec) -> tuple[PlannedDecision, ...]:
    """Ask the rules themselves, with the evidence of a probe of each kind."""
    count, drawn = spec.num_probe_cases, spec.num_probe_cases * spec.num_rollouts
    form = Evidence(count, 0, count, count, 0, 0, 0)
    near = replace(form, num_form_failures=0)
    mixed = Rollouts(count, count, 0, 0, drawn)
    cases: Sequence[tuple[str, Evidence, Rollouts | None]] = [
        ("a third or more of the failures are of form", form, None)
    ]
    if wants_rollouts(spec, near):
        answers = f"{spec.num_rollouts} answers to each probe case"
        cases = [
            *cases,
            (f"fewer are, and {answers} differ for a fifth of the cases or more", near, mixed),
            (f"fewer are, and {answers} differ for fewer cases", near, replace(mixed, num_mixed=0)),
        ]
    else:
        cases = [*cases, ("fewer are", near, None)]
    planned = [
        PlannedDecision(condition, on_probe(spec, spec.model_version_id, evidence, rollouts))
        for condition, evidence, rollouts in cases
    ]
    if spec.search.num_trials and not spec.method and spec.budget.max_rounds > 1:
        condition = "a round is neither better nor worse by more than chance"
        stall = f"{condition[0].upper()}{condition[1:]}"
        planned.append(PlannedDecision(condition, search_decision(spec, spec.model_version_id, stall, {})))
    return tuple(planned)


def _sentence(spec: LoopSpec, stop: Decision | None, seconds: float) -> str:
    if stop:
        return f"It would stop at once: {stop.reason}"
    rounds = f"{spec.budget.max_rounds} round{'s' * (spec.budget.max_rounds > 1)} of training at most"
    time = f"about {seconds / 60:.0f} minutes by what was measured before" if seconds else "no like loop was measured"
    bound = f", {spec.budget.max_minutes:g} minutes at most" * bool(spec.budget.max_minutes)
    asks = " It asks before each step that a decision begins." * spec.ask
    return f"It would do {rounds}{bound}; {time}.{asks}"
