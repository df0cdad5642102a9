"""What a loop shall do; defaults and bounds of its fields stand in the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from services.chassis.errors import InvalidArgument, Unimplemented
from services.feedback.domain.decision import TrainingMethod

METRICS = ("conforming_rate", "accepted_rate", "well_formed_rate")
DEFAULT_PROMPT_SIZE = "compact"
_GOAL_FORMS = ("EXPORT_FORM_GGUF", "EXPORT_FORM_OLLAMA")
# The one value of a training setting that loops can do; settings of what they cannot do have none.
_BUILT = {"trained_weights": "TRAINED_WEIGHTS_LORA", **dict.fromkeys(("scratch", "fork"))}


@dataclass(frozen=True)
class Goal:
    """A metric of the suite must reach `minimum`, 0 to 1."""

    metric: str
    minimum: float

    @property
    def words(self) -> str:
        """The metric as people say it, such as "conforming rate"."""
        return self.metric.replace("_", " ")


@dataclass(frozen=True)
class Budget:
    """What ends a loop that does not reach its goals; 0 minutes means no bound in time."""

    max_rounds: int
    max_minutes: float


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
        goal_form: The registry's own settings, by name, of the form that the goals are set on; empty for none.
        num_rollouts: Answers to each case of the probe, where they are drawn to see whether they differ; 1 draws none.
        mixed_method: What trains where they differ.
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
    num_rollouts: int
    mixed_method: TrainingMethod

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
        InvalidArgument: The goals are wrong, or are set on a form that not every version has.
        Unimplemented: The training asks for what loops cannot do yet.
    """
    _check_goals(spec.goals)
    if spec.mixed_method is TrainingMethod.SFT:
        raise _wrong("mixed_method", "is SFT, which learns nothing from answers that differ", "Use DPO or GRPO.")
    if spec.goal_form and spec.goal_form.get("form") not in _GOAL_FORMS:
        raise _wrong("goal_form", "is no form that each version of a loop has", "Use GGUF or Ollama, or none.")
    for name, built in _BUILT.items():
        if spec.training.get(name) not in (None, {}, built):
            raise Unimplemented(
                "A loop trains an adapter (LoRA).",
                f"Leave spec.training.{name} unset; train in other ways with `drillyard train start`.",
                field=f"spec.training.{name}",
            )


def prompt_size_of(prompt_size: str, prompt_sizes: Sequence[str]) -> str:
    """Return a prompt size that the profile has: the one asked for, else "compact", else the smallest.

    Raises:
        InvalidArgument: The profile has no such size.
    """
    default = DEFAULT_PROMPT_SIZE if DEFAULT_PROMPT_SIZE in prompt_sizes else prompt_sizes[0]
    if prompt_size not in ("", *prompt_sizes):
        raise _wrong("prompt_size", f"is {prompt_size[:40]!r}", f"Use {' or '.join(prompt_sizes)}.")
    return prompt_size or default


def _check_goals(goals: tuple[Goal, ...]) -> None:
    if not goals:
        raise _wrong("goals", "are missing", "Add one, such as conforming_rate with a minimum of 0.8.")
    for goal in goals:
        if goal.metric not in METRICS:
            raise _wrong("goals", f"name the metric {goal.metric[:40]!r}", f"Use one of {', '.join(METRICS)}.")
    if len({goal.metric for goal in goals}) < len(goals):
        raise _wrong("goals", "name a metric twice", "Give each metric one minimum.")


def _wrong(name: str, fault: str, next_step: str) -> InvalidArgument:
    return InvalidArgument(f"spec.{name} {fault}.", next_step, field=f"spec.{name}")
