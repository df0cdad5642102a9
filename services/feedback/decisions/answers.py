"""What a person's answer makes of a decision that waits for one."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.errors import InvalidArgument
from services.feedback.decisions.decision import (
    PERSON,
    DatasetRecipe,
    Decision,
    DecisionAction,
    DecisionChange,
    DecisionState,
    TrainingMethod,
)
from services.feedback.decisions.search import SEARCH
from services.feedback.decisions.training import PREFERENCE_RATE


def check_change(decision: Decision, change: DecisionChange) -> None:
    """Return when a decision can be changed in that way.

    Raises:
        InvalidArgument: It cannot; the error names the field.
    """
    stops = decision.action is DecisionAction.STOP
    if stops and not (change.is_approval or change.go_on):
        raise _wrong("go_on", "is not set, and the decision is to stop", "Approve it, or go on all the same.")
    if change.go_on and change != DecisionChange(None, {}, 0, None, go_on=True):
        raise _wrong("go_on", "is set, and something else too", "Go on, and change what the next decision trains.")
    if change.go_on and not stops:
        raise _wrong("go_on", "is for decisions to stop, and this one trains", "Approve it, or change how it trains.")
    is_of_rows = change.method or change.num_examples or change.replay_share is not None
    if decision.rule == SEARCH and is_of_rows:
        fault = "is to be otherwise, and the rows of the round are built"
        raise _wrong("method" if change.method else "num_examples", fault, "Change the settings of the training alone.")
    _check_training(decision, change)


def answered(decision: Decision, change: DecisionChange) -> tuple[Decision, ...]:
    """Return a decision as a person leaves it: approved, or overruled and followed by the person's own."""
    if change.is_approval:
        return (replace(decision, state=DecisionState.APPROVED),)
    own = replace(_changed(decision, change), number=0, state=DecisionState.APPROVED, rule=PERSON, next_step="")
    return replace(decision, state=DecisionState.OVERRULED), own


def _changed(decision: Decision, change: DecisionChange) -> Decision:
    if change.go_on:
        return replace(decision, action=DecisionAction.GO_ON, reason="A person decided to go on all the same.")
    method = change.method or decision.method or TrainingMethod.SFT
    recipe = decision.recipe or DatasetRecipe(change.num_examples)
    training = dict(decision.training)
    if method is not decision.method:
        training = {} if method is TrainingMethod.SFT else {"learning_rate": PREFERENCE_RATE}
    for name, value in change.training.items():
        training[name] = {**training.get(name, {}), **value} if isinstance(value, dict) else value
    replay_share = recipe.replay_share if change.replay_share is None else change.replay_share
    return replace(
        decision,
        action=DecisionAction.TRAIN if decision.action is DecisionAction.SEARCH else decision.action,
        method=method,
        training=training,
        recipe=DatasetRecipe(change.num_examples or recipe.num_examples, replay_share),
        reason=f"A person decided to train by {method.name}.",
    )


def _check_training(decision: Decision, change: DecisionChange) -> None:
    for name in ("model_version_id", "dataset_version_id", "seed", "method", "trained_weights", "scratch", "fork"):
        if change.training.get(name):
            raise _wrong(f"training.{name}", "is set by the loop itself", "Leave it out.")
    method = change.method or decision.method or TrainingMethod.SFT
    for other in TrainingMethod:
        if other is not method and change.training.get(other):
            fault = f"is for {other.name}, and this trains by {method.name}"
            raise _wrong(f"training.{other}", fault, f"Leave it out, or set method to {other.name}.")
    if change.method is TrainingMethod.DPO and not decision.figures.get("num_pairs"):
        next_step = "Train by SFT, or start a loop with more answers to each probe case (num_rollouts)."
        raise _wrong("method", "is DPO, and no failure of the probe makes a pair", next_step)


def _wrong(name: str, fault: str, next_step: str) -> InvalidArgument:
    return InvalidArgument(f"The field change.{name} {fault}.", next_step, field=f"change.{name}")
