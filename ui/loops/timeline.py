"""The story of a loop, round by round: what was decided and why, what it reached and kept."""

from __future__ import annotations

from dataclasses import dataclass

from drillyard.feedback.v1.loop_decision_pb2 import Decision, DecisionState, SearchTrial
from drillyard.feedback.v1.loop_pb2 import Loop, Round
from google.protobuf.json_format import MessageToDict

from services.chassis.wire.fields import label_of

_TONES = {
    DecisionState.DECISION_STATE_WAITING: "warn",
    DecisionState.DECISION_STATE_APPROVED: "good",
    DecisionState.DECISION_STATE_OVERRULED: "",
}
_RATES = ("conforming_rate", "accepted_rate", "well_formed_rate")


@dataclass(frozen=True)
class ReadingView:
    """A share, or seconds, that a round reached: `tone` says whether what was asked is met."""

    label: str
    value: float
    low: float
    high: float
    is_share: bool
    tone: str
    sentence: str


@dataclass(frozen=True)
class DecisionView:
    """What was decided, who stands behind it, and the figures that decided.

    Attributes:
        title: Such as "train by DPO".
        state: Such as "approved"; `tone` is its colour.
        figures: Name and value, each in words.
        settings: What is trained otherwise than the loop was told, as "name value".
    """

    number: int
    title: str
    state: str
    tone: str
    reason: str
    next_step: str
    figures: tuple[tuple[str, str], ...]
    settings: tuple[str, ...]
    is_waiting: bool
    is_stop: bool


@dataclass(frozen=True)
class RoundView:
    """One round of a loop."""

    number: int
    model_version_id: str
    base_model_version_id: str
    is_best: bool
    is_rolled_back: bool
    readings: tuple[ReadingView, ...]
    guardrails: tuple[ReadingView, ...]
    trials: tuple[ReadingView, ...]
    decisions: tuple[DecisionView, ...]
    dataset_version_id: str
    training_job_id: str


def round_views(loop: Loop) -> tuple[RoundView, ...]:
    """Return the rounds of a loop, oldest first."""
    return tuple(_round_view(loop, item) for item in loop.rounds)


def waiting_decision(rounds: tuple[RoundView, ...]) -> DecisionView | None:
    """Return the decision that a loop waits with for a person; None where it waits for none."""
    last = rounds[-1].decisions[-1] if rounds and rounds[-1].decisions else None
    return last if last is not None and last.is_waiting else None


def decision_view(decision: Decision) -> DecisionView:
    """Return a decision in words."""
    action = label_of(Decision.DESCRIPTOR.fields_by_name["action"].enum_type, decision.action)
    method = label_of(Decision.DESCRIPTOR.fields_by_name["method"].enum_type, decision.method)
    return DecisionView(
        number=decision.number,
        title=f"{action} by {method.lower()}" if decision.method else action,
        state=label_of(Decision.DESCRIPTOR.fields_by_name["state"].enum_type, decision.state),
        tone=_TONES.get(decision.state, "plain"),
        reason=decision.reason,
        next_step=decision.next_step,
        figures=tuple((name.replace("_", " "), f"{value:g}") for name, value in sorted(decision.figures.items())),
        settings=_settings(decision),
        is_waiting=decision.state == DecisionState.DECISION_STATE_WAITING,
        is_stop=not decision.method,
    )


def _settings(decision: Decision) -> tuple[str, ...]:
    training = MessageToDict(decision.training, preserving_proto_field_name=True)
    settings = [f"{name.replace('_', ' ')} {value}" for name, value in training.items() if not isinstance(value, dict)]
    settings += [
        f"{owner} {name.replace('_', ' ')} {value}"
        for owner, group in training.items()
        if isinstance(group, dict)
        for name, value in group.items()
    ]
    recipe = decision.recipe
    rows = [f"{recipe.num_examples} rows"] if recipe.num_examples else []
    replay = [f"{100 * recipe.replay_share:g} % replay"] if recipe.replay_share else []
    return (*rows, *replay, *settings)


def _round_view(loop: Loop, item: Round) -> RoundView:
    return RoundView(
        number=item.round,
        model_version_id=item.model_version_id,
        base_model_version_id=item.base_model_version_id if item.base_model_version_id != item.model_version_id else "",
        is_best=item.evaluated and item.model_version_id == loop.best_model_version_id,
        is_rolled_back=item.is_rolled_back,
        readings=_readings(item),
        guardrails=tuple(
            ReadingView(
                reading.test_suite_version_id,
                reading.value,
                reading.low,
                reading.high,
                is_share=True,
                tone="bad" if reading.is_broken else "good",
                sentence=reading.sentence,
            )
            for reading in item.guardrail_readings
            if reading.is_measured
        ),
        trials=tuple(map(_trial_view, item.trials)),
        decisions=tuple(map(decision_view, item.decisions)),
        dataset_version_id=item.dataset_version_id,
        training_job_id=item.training_job_id,
    )


def _trial_view(trial: SearchTrial) -> ReadingView:
    label, tone = f"Trial {trial.number}", "bad" if trial.problem else ""
    return ReadingView(label, trial.value, trial.low, trial.high, is_share=True, tone=tone, sentence=trial.sentence)


def _readings(item: Round) -> tuple[ReadingView, ...]:
    """What was read of each goal, and the rates of the whole suite that are no goal; these have no interval here."""
    if not item.evaluated:
        return ()
    goals = [
        ReadingView(
            f"{reading.metric.replace('_', ' ')}{f' of {reading.slice}' if reading.slice else ''}",
            reading.value,
            reading.low,
            reading.high,
            is_share=not reading.metric.startswith("seconds"),
            tone="good" if reading.is_met else "warn",
            sentence=reading.sentence,
        )
        for reading in item.goal_readings
    ]
    read = {reading.metric for reading in item.goal_readings if not reading.slice}
    others = [
        ReadingView(name.replace("_", " "), rate, rate, rate, is_share=True, tone="", sentence="")
        for name in _RATES
        if name not in read
        for rate in [getattr(item, name)]
    ]
    return (*goals, *others)
