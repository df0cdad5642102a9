"""What a loop is asked to do: the model, the suite, the goals and the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from services.chassis.errors import InvalidArgument, Unimplemented

METRICS = ("conforming_rate", "accepted_rate", "well_formed_rate")
DEFAULT_PROMPT_SIZE = "compact"
# The wire writes floats that JSON lacks as these words.
_NOT_NUMBERS = ("NaN", "Infinity", "-Infinity")


@dataclass(frozen=True)
class Goal:
    """A metric of the suite must reach `minimum`, 0 to 1."""

    metric: str
    minimum: float


@dataclass(frozen=True)
class Budget:
    """What ends a loop that does not reach its goals; 0 minutes means no bound in time."""

    max_rounds: int = 0
    max_minutes: float = 0.0


@dataclass(frozen=True)
class LoopSpec:
    """What a loop does; it never changes after the loop was created.

    Attributes:
        model_version_id: The version to begin with.
        test_suite_version_id: The suite that decides.
        prompt_size: One that the suite's profile has.
        goals: All must be met; the first one's metric decides which version is best.
        budget: When to give up.
        seed: Changes pool, probe, order and initialisation.
        training: The trainer's own settings by name; passed on as they are.
        num_examples: Train examples per round.
        num_probe_cases: Cases of the probe.
        max_new_tokens: Longest answer in tokens.
    """

    model_version_id: str
    test_suite_version_id: str
    goals: tuple[Goal, ...]
    prompt_size: str = ""
    budget: Budget = Budget()
    seed: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)
    num_examples: int = 0
    num_probe_cases: int = 0
    max_new_tokens: int = 0


@dataclass(frozen=True)
class Bound:
    """The default of a whole number and the values it may take."""

    default: int
    least: int
    most: int


BOUNDS = {
    "num_examples": Bound(400, 1, 10_000),
    "num_probe_cases": Bound(39, 1, 48),
    "max_new_tokens": Bound(192, 1, 8192),
    "budget.max_rounds": Bound(1, 1, 100),
}


def checked(spec: LoopSpec) -> LoopSpec:
    """Return the spec with every default filled in, that of the prompt's size apart.

    Raises:
        InvalidArgument: A field is wrong; the error names it.
        Unimplemented: The training asks for what loops cannot do yet.
    """
    for name in ("model_version_id", "test_suite_version_id"):
        if not getattr(spec, name):
            raise _wrong(name, "is empty", "Name a version, or a model or suite for its newest version.")
    _check_goals(spec.goals)
    _check_minutes(spec.budget.max_minutes)
    _check_training(spec.training)
    return replace(
        spec,
        budget=replace(spec.budget, max_rounds=_bounded("budget.max_rounds", spec.budget.max_rounds)),
        num_examples=_bounded("num_examples", spec.num_examples),
        num_probe_cases=_bounded("num_probe_cases", spec.num_probe_cases),
        max_new_tokens=_bounded("max_new_tokens", spec.max_new_tokens),
    )


def with_prompt_size(spec: LoopSpec, prompt_sizes: Sequence[str]) -> LoopSpec:
    """Return the spec with a prompt size that the profile has: the one asked for, else "compact", else the smallest.

    Raises:
        InvalidArgument: The profile has no such size.
    """
    default = DEFAULT_PROMPT_SIZE if DEFAULT_PROMPT_SIZE in prompt_sizes else prompt_sizes[0]
    if spec.prompt_size not in ("", *prompt_sizes):
        raise _wrong("prompt_size", f"is {spec.prompt_size[:40]!r}", f"Use {' or '.join(prompt_sizes)}.")
    return replace(spec, prompt_size=spec.prompt_size or default)


def to_document(spec: LoopSpec) -> dict[str, Any]:
    """Return the spec as JSON values."""
    return {**asdict(spec), "goals": [asdict(goal) for goal in spec.goals], "training": dict(spec.training)}


def from_document(document: Mapping[str, Any]) -> LoopSpec:
    """Return the spec that `to_document` wrote."""
    goals = tuple(Goal(**goal) for goal in document["goals"])
    return LoopSpec(**{**document, "goals": goals, "budget": Budget(**document["budget"])})


def _check_goals(goals: tuple[Goal, ...]) -> None:
    if not goals:
        raise _wrong("goals", "are missing", "Add one, such as conforming_rate with a minimum of 0.8.")
    for goal in goals:
        if goal.metric not in METRICS:
            raise _wrong("goals", f"name the metric {goal.metric[:40]!r}", f"Use one of {', '.join(METRICS)}.")
        if not 0 <= goal.minimum <= 1:
            raise _wrong("goals", f"ask for {goal.metric} {goal.minimum:g}", "Use a minimum between 0 and 1.")
    if len({goal.metric for goal in goals}) < len(goals):
        raise _wrong("goals", "name a metric twice", "Give each metric one minimum.")


def _check_minutes(minutes: float) -> None:
    if not (math.isfinite(minutes) and minutes >= 0):
        raise _wrong("budget.max_minutes", f"is {minutes:g}", "Use a number of minutes, or 0 for no bound.")


def _check_training(training: Mapping[str, Any], prefix: str = "training") -> None:
    if training.get("method", "TRAINING_METHOD_SFT") != "TRAINING_METHOD_SFT":
        raise Unimplemented(
            "Loops that train by another method than SFT are not built in this version.",
            "Leave spec.training.method unset.",
            field="spec.training.method",
        )
    if training.get("trained_weights", "TRAINED_WEIGHTS_LORA") != "TRAINED_WEIGHTS_LORA":
        raise Unimplemented(
            "Loops that train more than a LoRA adapter are not built in this version.",
            "Leave spec.training.trained_weights unset.",
            field="spec.training.trained_weights",
        )
    for name, value in training.items():
        if isinstance(value, Mapping):
            _check_training(value, f"{prefix}.{name}")
        elif value in _NOT_NUMBERS or (isinstance(value, (int, float)) and value < 0):
            raise _wrong(f"{prefix}.{name}", f"is {value}", "Use a positive number, or 0 for the default.")


def _bounded(name: str, value: int) -> int:
    bound = BOUNDS[name]
    chosen = value or bound.default
    if not bound.least <= chosen <= bound.most:
        raise _wrong(name, f"is {value}", f"Use {bound.least} to {bound.most}, or 0 for {bound.default}.")
    return chosen


def _wrong(name: str, fault: str, next_step: str) -> InvalidArgument:
    return InvalidArgument(f"spec.{name} {fault}.", next_step, field=f"spec.{name}")
