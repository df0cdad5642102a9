"""What a loop shall do; defaults and bounds of its fields stand in the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from services.chassis.errors import InvalidArgument, Unimplemented
from services.feedback.decisions.decision import TrainingMethod
from services.feedback.decisions.trial import NO_SEARCH, Search
from services.feedback.domain.goals import METRICS, RATES, Goal, percent
from services.feedback.domain.guardrails import Guardrail
from services.protocols.verdict import Cause, LayerName

# As the registry has it, behind the model and a colon.
_ALIAS_NAME = re.compile("[a-z0-9][a-z0-9-]{0,62}")
DEFAULT_PROMPT_SIZE = "compact"
_GOAL_FORMS = ("EXPORT_FORM_GGUF", "EXPORT_FORM_OLLAMA")
# The one value of a training setting that loops can do; settings of what they cannot do have none.
_BUILT = {"trained_weights": "TRAINED_WEIGHTS_LORA", **dict.fromkeys(("scratch", "fork"))}


@dataclass(frozen=True)
class Budget:
    """What ends a loop that does not reach its goals; a bound of 0 is none.

    Attributes:
        plateau_rounds: Rounds without progress; None in loops of a release that gave up after the first.
        price_per_hour: Of a run or a training.
    """

    max_rounds: int
    max_minutes: float
    plateau_rounds: int | None = None
    max_tokens: int = 0
    max_cost: float = 0.0
    price_per_hour: float = 0.0


@dataclass(frozen=True)
class LoopSpec:
    """What a loop does; it never changes after the loop was created.

    Attributes:
        model_version_id: The version to begin with.
        test_suite_version_id: The suite that decides.
        prompt_size: One that the suite's profile has.
        goals: All must be met by one version; the first one's metric decides which version is best.
        budget: When to give up.
        seed: Changes pool, probe, order and initialisation.
        training: The trainer's own settings by name; passed on as they are.
        num_examples: Train examples per round.
        num_probe_cases: Cases of the probe.
        max_new_tokens: Longest answer in tokens.
        goal_form: The registry's own settings, by name, of the form that the goals are set on; empty for none.
        guardrails: What a version must keep on other suites.
        num_repeats: Answers per case of the suite.
        temperature: Of these answers; 0 is greedy.
        num_rollouts: Answers to each case of the probe, where they are drawn to see whether they differ; 1 draws none.
        mixed_method: What trains where they differ.
        ask: Whether a person is asked before each step that a decision begins.
        candidate_alias: Name of the alias that the best version gets when the goals are met; empty for none.
        search: What bounds a search for settings.
    """

    MESSAGE: ClassVar = "drillyard.feedback.v1.loop_pb2.LoopSpec"

    model_version_id: str
    test_suite_version_id: str
    prompt_size: str
    goals: tuple[Goal, ...]
    budget: Budget
    seed: int
    training: Mapping[str, Any]
    num_examples: int
    num_probe_cases: int
    max_new_tokens: int
    goal_form: Mapping[str, Any]
    guardrails: tuple[Guardrail, ...] = ()
    num_repeats: int = 1
    temperature: float = 0.0
    num_rollouts: int = 1
    mixed_method: TrainingMethod = TrainingMethod.DPO
    ask: bool = False
    candidate_alias: str = ""
    search: Search = NO_SEARCH

    @property
    def method(self) -> TrainingMethod | None:
        """The one that each round trains by; None where each round's is chosen."""
        name = str(self.training.get("method", "")).removeprefix("TRAINING_METHOD_")
        return TrainingMethod[name] if name in TrainingMethod.__members__ else None

    @property
    def shipped_as(self) -> str:
        """The form that the goals are set on, as people write it, such as "gguf:Q4_K_M"; empty for none."""
        form = str(self.goal_form.get("form", "")).removeprefix("EXPORT_FORM_").lower()
        return ":".join(filter(None, (form, self.goal_form.get("number_type"))))


def check(spec: LoopSpec) -> None:
    """Return when the goals can be looked at and loops can train in that way.

    Raises:
        InvalidArgument: Goals, guardrails or budget are wrong, or are set on a form that not every version has.
        Unimplemented: The training asks for what loops cannot do yet.
    """
    _check_goals(spec)
    _check_guardrails(spec.guardrails)
    if spec.candidate_alias and not _ALIAS_NAME.fullmatch(spec.candidate_alias):
        next_step = "Use the name alone, in lower-case letters, digits and dashes, such as candidate."
        raise _wrong("candidate_alias", f"is {spec.candidate_alias[:40]!r}, which names no alias", next_step)
    if spec.mixed_method is TrainingMethod.SFT:
        raise _wrong("mixed_method", "is SFT, which learns nothing from answers that differ", "Use DPO or GRPO.")
    _check_bounds(spec)
    if spec.num_repeats > 1 and not spec.temperature:
        raise _wrong(
            "num_repeats",
            f"is {spec.num_repeats}, but greedy answers to a case are all the same",
            "Set a temperature, such as 0.7, or ask once.",
        )
    if spec.goal_form and spec.goal_form.get("form") not in _GOAL_FORMS:
        raise _wrong("goal_form", "is no form that each version of a loop has", "Use GGUF or Ollama, or none.")
    for name, built in _BUILT.items():
        if spec.training.get(name) not in (None, {}, built):
            raise Unimplemented(
                "A loop trains an adapter (LoRA).",
                f"Leave spec.training.{name} unset; train in other ways with `drillyard train start`.",
                field=f"spec.training.{name}",
            )


def prompt_size_of(prompt_size: str, prompt_sizes: Sequence[str], field: str = "prompt_size") -> str:
    """Return a prompt size that the profile has: the one asked for, else "compact", else the smallest.

    Raises:
        InvalidArgument: The profile has no such size.
    """
    default = DEFAULT_PROMPT_SIZE if DEFAULT_PROMPT_SIZE in prompt_sizes else prompt_sizes[0]
    if prompt_size not in ("", *prompt_sizes):
        raise _wrong(field, f"is {prompt_size[:40]!r}", f"Use {' or '.join(prompt_sizes)}.")
    return prompt_size or default


def as_first_sent(spec: LoopSpec, earlier: LoopSpec) -> LoopSpec:
    """Return a request that is repeated as the release read it that stored `earlier`, which may know no intervals."""
    if earlier.search.num_trials is None:
        spec = replace(spec, search=earlier.search)
    if earlier.budget.plateau_rounds is not None:
        return spec
    goals = tuple(replace(goal, confidence=None) for goal in spec.goals)
    return replace(spec, goals=goals, budget=replace(spec.budget, plateau_rounds=None))


def check_slices(goals: Sequence[Goal], suite_slices: Mapping[str, int]) -> None:
    """Return when the suite has every slice that goals name, with cases enough for a perfect version to meet them.

    Args:
        goals: What must be met.
        suite_slices: Number of cases of each slice; "" for all.

    Raises:
        InvalidArgument: A slice is missing, or so small that no answers could make its goal sure.
    """
    for place, goal in enumerate(goals):
        # Layers and causes are counted over answers, to every case at most.
        part = goal.slice if goal.slice.startswith(("tool=", "category=")) else ""
        if part not in suite_slices:
            kind = part.partition("=")[0]
            names = ", ".join(sorted(name for name in suite_slices if name.startswith(f"{kind}=")))
            raise _wrong(f"goals[{place}].slice", f"is {part!r}, which the suite lacks", f"It has {names}.")
        num_cases = suite_slices[part]
        perfect = goal.best_reading(num_cases)
        if goal.facts.is_share and not goal.is_met(perfect):
            sure = goal.text(goal.sure_value(perfect))
            raise _wrong(
                f"goals[{place}]",
                f"asks for {goal.text(goal.bound)} at {percent(goal.confidence)} confidence, and even if all "
                f"{num_cases} cases went right the interval would end at {sure}",
                "Lower the bound or the confidence (0 for the share itself), or use a suite of more cases.",
            )


def _check_goals(spec: LoopSpec) -> None:
    if not spec.goals:
        raise _wrong("goals", "are missing", "Add one, such as conforming_rate with a minimum of 0.8.")
    for place, goal in enumerate(spec.goals):
        if goal.metric not in METRICS:
            raise _wrong("goals", f"name the metric {goal.metric[:40]!r}", f"Use one of {', '.join(METRICS)}.")
        _check_bound(f"goals[{place}]", goal)
        _check_slice(f"goals[{place}].slice", goal)
        if goal.metric == "pass_hat_k" and spec.num_repeats == 1:
            raise _wrong("num_repeats", "is 1, but pass^k is of several answers", "Set how many answers a case gets.")
    if len({(goal.metric, goal.slice) for goal in spec.goals}) < len(spec.goals):
        raise _wrong("goals", "name a metric twice for the same cases", "Give each metric of a slice one bound.")


def _check_bounds(spec: LoopSpec) -> None:
    if spec.budget.max_cost and not spec.budget.price_per_hour:
        raise _wrong(
            "budget.max_cost",
            "is a bound on money, but nothing says what an hour costs",
            "Set budget.price_per_hour too.",
        )
    if spec.search.num_trials == 1:
        raise _wrong("search.num_trials", "is 1, which compares nothing", "Set 0 for no search, or 2 and more.")


def _check_bound(place: str, goal: Goal) -> None:
    if goal.facts.is_bounded_above and (goal.minimum or not goal.maximum > 0):
        raise _wrong(place, f"needs a maximum above 0: {goal.metric} shall be small", "Set maximum, not minimum.")
    if not goal.facts.is_bounded_above and goal.maximum:
        raise _wrong(place, f"has a maximum, but {goal.metric} shall be large", "Set minimum alone.")


def _check_slice(place: str, goal: Goal) -> None:
    kind, _, name = goal.slice.partition("=")
    kinds = goal.facts.slices
    if kind not in kinds:
        forms = " or ".join(f"{form}=NAME" if form else "no slice" for form in kinds)
        raise _wrong(place, f"is {goal.slice!r}, which {goal.metric} is not counted by", f"Use {forms}.")
    names = {"layer": tuple(LayerName), "cause": tuple(Cause)}.get(kind, (name,))
    if name not in names:
        raise _wrong(place, f"is {goal.slice!r}", f"Use {kind}= and one of {', '.join(names)}.")


def _check_guardrails(guardrails: Sequence[Guardrail]) -> None:
    for place, guardrail in enumerate(guardrails):
        if guardrail.metric not in RATES:
            fault = f"is {guardrail.metric[:40]!r}"
            raise _wrong(f"guardrails[{place}].metric", fault, f"Use one of {', '.join(RATES)}.")


def _wrong(name: str, fault: str, next_step: str) -> InvalidArgument:
    return InvalidArgument(f"spec.{name} {fault}.", next_step, field=f"spec.{name}")
