"""What a round trains: rules in their order, each with its reason and the figures it looked at."""

from __future__ import annotations

from collections.abc import Sequence

from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from services.chassis.wire.fields import default_of
from services.feedback.decisions.decision import DatasetRecipe, Decision, DecisionAction, DecisionTopic, TrainingMethod
from services.feedback.decisions.evidence import Evidence, Rollouts
from services.feedback.domain.rounds import Round
from services.feedback.domain.rules import best_round, readings_in
from services.feedback.domain.spec import LoopSpec

MAX_EXAMPLES = 10_000
# Above this share of form among the failures, right answers teach more than the model's own.
_FORM_SHARE = 1 / 3
# Below this share of prompts whose answers differ, there is little to prefer.
_MIXED_SHARE = 0.2
_MIN_PAIRS = 8
_REPLAY_SHARE = 0.3
# Preferences move weights that already know the answer: a twentieth of the rate of SFT, as the page on training has it.
PREFERENCE_RATE = 5e-5
_RATE_FIELD = TrainingJobSpec.DESCRIPTOR.fields_by_name["learning_rate"]
# A task costs as many answers as are drawn for it.
_TASK_SHARE = 0.25


def on_regression(spec: LoopSpec, rounds: Sequence[Round], evidence: Evidence, num_pairs: int = 0) -> Decision | None:
    """Return the decision to go on from the best round, whose probe `evidence` is; None where the last is the best.

    `num_pairs` is how many pairs the failures of that probe make; it counts where the loop was told to train by DPO.
    """
    best, last = best_round(spec.goals, rounds), rounds[-1]
    if best is None or best is last:
        return None
    goal = spec.goals[0]
    before, after = (readings_in(spec.goals, item)[0] for item in (best, last))
    num_before = _num_branches(rounds, best.model_version_id)
    why = "lost what it must not" if last.is_rolled_back else f"is no better: {goal.sentence(after)}"
    trains_pairs = spec.method is TrainingMethod.DPO and num_pairs >= _MIN_PAIRS
    method = spec.method or TrainingMethod.SFT
    if method is TrainingMethod.DPO and not trains_pairs:
        method = TrainingMethod.SFT
    rate = rate_of(spec, method) / 2 ** (num_before + 1)
    rows = (
        f"{num_pairs} pairs of its own failures and right answers"
        if trains_pairs
        else f"{_REPLAY_SHARE:.0%} of the rows from what it can do"
    )
    reason = (
        f"Round {last.number} {why}. Back to {best.model_version_id} of round {best.number}, with {rows}, and a "
        f"learning rate of {rate:g}."
    )
    values = {"best_value": before.value, "last_value": after.value, "num_branches_before": float(num_before)}
    return Decision(
        DecisionTopic.TRAINING,
        DecisionAction.BRANCH_BACK,
        "regression",
        reason,
        figures={**values, **evidence.figures},
        model_version_id=best.model_version_id,
        method=method,
        training={"learning_rate": rate},
        recipe=DatasetRecipe(num_pairs) if trains_pairs else DatasetRecipe(spec.num_examples, _REPLAY_SHARE),
    )


def _num_branches(rounds: Sequence[Round], model_version_id: str) -> int:
    """Return how often the loop has gone back to a version already."""
    decisions = (decision for item in rounds for decision in item.decisions)
    branches = (decision for decision in decisions if decision.action is DecisionAction.BRANCH_BACK)
    return sum(decision.model_version_id == model_version_id for decision in branches)


def rate_of(spec: LoopSpec, method: TrainingMethod) -> float:
    """Return the learning rate that a loop trains by, where no decision changes it."""
    default = default_of(_RATE_FIELD) if method is TrainingMethod.SFT else PREFERENCE_RATE
    return float(spec.training.get("learning_rate", default))


def wants_rollouts(spec: LoopSpec, evidence: Evidence) -> bool:
    """Whether several answers to each case of the probe would tell what one answer does not."""
    # A loop of a release that knew SFT alone may have begun a dataset or a training of it.
    if spec.num_rollouts < 2 or spec.budget.plateau_rounds is None:
        return False
    if spec.method is not None:
        return spec.method is TrainingMethod.DPO
    return spec.budget.max_rounds > 1 and evidence.num_near_misses > 0 and evidence.form_share < _FORM_SHARE


def on_probe(spec: LoopSpec, model_version_id: str, evidence: Evidence, rollouts: Rollouts | None) -> Decision:
    """Return what trains a version, by what its probe showed."""
    method, rule, why = _choice(spec, evidence, rollouts)
    failures = f"{evidence.num_failed} of {evidence.num_answers} probe cases fail, {evidence.num_form_failures} by form"
    recipe, training = DatasetRecipe(spec.num_examples), {}
    if rule == "equal_rollouts":
        recipe = DatasetRecipe(min(2 * spec.num_examples, MAX_EXAMPLES))
    elif method is TrainingMethod.DPO and rollouts:
        recipe = DatasetRecipe(rollouts.num_pairs)
    elif method is TrainingMethod.GRPO:
        recipe = DatasetRecipe(max(1, round(_TASK_SHARE * spec.num_examples)))
    # A rate that the loop was given is that of the method that it was given.
    if method is not TrainingMethod.SFT and (spec.method is None or "learning_rate" not in spec.training):
        training = {"learning_rate": PREFERENCE_RATE}
    return Decision(
        DecisionTopic.TRAINING,
        DecisionAction.TRAIN,
        rule,
        f"{failures}: {why}.",
        figures={**evidence.figures, **(rollouts.figures if rollouts else {})},
        model_version_id=model_version_id,
        method=method,
        training=training,
        recipe=recipe,
    )


def _choice(spec: LoopSpec, evidence: Evidence, rollouts: Rollouts | None) -> tuple[TrainingMethod, str, str]:
    sft, num_pairs = TrainingMethod.SFT, rollouts.num_pairs if rollouts else 0
    if spec.method is TrainingMethod.DPO and num_pairs < _MIN_PAIRS:
        return sft, "too_few_pairs", f"they make {num_pairs} pairs for DPO, too few, so right answers are trained (SFT)"
    if spec.method is not None:
        return spec.method, "fixed_method", f"the loop was told to train by {spec.method.name}"
    if evidence.form_share >= _FORM_SHARE:
        return sft, "format_failures", "right answers teach the form (SFT)"
    if rollouts is None:
        return sft, "near_misses", "right answers to what failed are trained (SFT)"
    wrong = f" ({rollouts.num_all_wrong} have wrong ones alone)" * bool(rollouts.num_all_wrong)
    mixed = f"{rollouts.num_mixed} of {rollouts.num_prompts} prompts have right and wrong answers{wrong}"
    if rollouts.mixed_share < _MIXED_SHARE:
        return sft, "equal_rollouts", f"{mixed}, too few to prefer among, so twice the rows are trained (SFT)"
    if spec.mixed_method is TrainingMethod.DPO and num_pairs < _MIN_PAIRS:
        return sft, "too_few_pairs", f"{mixed}, but they make {num_pairs} pairs, too few (SFT)"
    how = "its failures against right answers" if spec.mixed_method is TrainingMethod.DPO else "its own answers"
    return spec.mixed_method, "mixed_rollouts", f"{mixed}, so {how} are trained ({spec.mixed_method.name})"
