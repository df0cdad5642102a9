"""The search for settings where more of the same data no longer helps: when it is made, who goes on, and who wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from drillyard.trainer.v1.weights_pb2 import LoraConfig

from services.chassis.wire.fields import default_of
from services.feedback.decisions.decision import DatasetRecipe, Decision, DecisionAction, DecisionTopic, TrainingMethod
from services.feedback.decisions.evidence import Evidence
from services.feedback.decisions.training import rate_of
from services.feedback.decisions.trial import SearchTrial
from services.feedback.domain.rounds import Round, with_adapter_settings
from services.feedback.domain.rules import best_round, is_better, readings_in
from services.feedback.domain.spec import LoopSpec

SEARCH = "search"
# The first are the loop's own; a field of fewer trials has the first of them.
_RATE_FACTORS = (1.0, 0.5, 2.0, 0.25, 4.0, 0.125, 8.0, 0.0625)
_MORE_RANK = (2,)
_MAX_RATE = 1.0


def on_stall(spec: LoopSpec, rounds: Sequence[Round], evidence: Evidence) -> Decision | None:
    """Return the decision to search, where the last round was neither better nor worse by more than chance.

    A version is searched for once, and no loop searches that was told its method.
    """
    last, base, before = rounds[-1], best_round(spec.goals, rounds), best_round(spec.goals, rounds[:-1])
    if not spec.search.num_trials or spec.method or last.is_rolled_back or base is None or before is None:
        return None
    is_changed = is_better(spec.goals, last, before) or is_better(spec.goals, before, last)
    if is_changed or _is_searched(rounds, base.model_version_id):
        return None
    reading_before, reading = (readings_in(spec.goals, item)[0] for item in (before, last))
    stall = (
        f"Round {last.number} is neither better nor worse than round {before.number} by more than chance: "
        f"{spec.goals[0].sentence(reading)}"
    )
    figures = {"value_before": reading_before.value, "value": reading.value, **evidence.figures}
    return search_decision(spec, base.model_version_id, stall, figures)


def search_decision(spec: LoopSpec, model_version_id: str, stall: str, figures: dict[str, float]) -> Decision:
    """Return the decision to search for settings that train a version; `stall` says what showed that data do not."""
    return Decision(
        DecisionTopic.TRAINING,
        DecisionAction.SEARCH,
        "data_no_longer_helps",
        f"{stall}. So up to {spec.search.num_trials} trainings on {spec.search.trial_examples} rows show whether other "
        "settings do.",
        figures=figures,
        model_version_id=model_version_id,
        method=TrainingMethod.SFT,
        recipe=DatasetRecipe(spec.num_examples),
    )


def trained_spec(spec: LoopSpec, rounds: Sequence[Round], model_version_id: str) -> LoopSpec:
    """Return a loop's spec with the settings of the adapter that a version of it is."""
    return replace(spec, training=with_adapter_settings(spec.training, rounds, model_version_id))


def first_rung(spec: LoopSpec, *, is_foreign: bool) -> tuple[SearchTrial, ...]:
    """Return the trials that a search begins with, the loop's own settings first.

    Args:
        spec: With the settings of the version that is trained.
        is_foreign: Whether that is an adapter that the loop did not make, so that its rank is not known here.
    """
    rate, rank = rate_of(spec, TrainingMethod.SFT), _own_lora(spec, "r")
    # A spec cannot say that an adapter is to be raised to what it says when it says nothing.
    ranks = [rank, *(rank * factor for factor in _MORE_RANK if rank * factor != _default_lora("r"))]
    ranks = [0] if is_foreign else ranks
    field = [(rate * factor, rank) for factor in _RATE_FACTORS for rank in ranks if rate * factor <= _MAX_RATE]
    num_examples = min(spec.search.trial_examples, spec.num_examples)
    return tuple(
        SearchTrial(number, 0, num_examples, *settings)
        for number, settings in enumerate(field[: spec.search.num_trials], start=1)
    )


def next_rung(spec: LoopSpec, trials: Sequence[SearchTrial]) -> tuple[SearchTrial, ...]:
    """Return the better half of the last rung, to be trained on twice the rows; nothing where the search is over.

    It is over when two or fewer were left, or one is better than each other by more than chance.
    """
    ranked = _ranked([trial for trial in trials if trial.rung == trials[-1].rung])
    if len(ranked) <= 2 or ranked[0].low > max(trial.high for trial in ranked[1:]):
        return ()
    kept = ranked[: (len(ranked) + 1) // 2]
    num_examples = min(2 * trials[-1].num_examples, spec.num_examples)
    return tuple(
        SearchTrial(number, trials[-1].rung + 1, num_examples, trial.learning_rate, trial.rank)
        for number, trial in enumerate(kept, start=len(trials) + 1)
    )


def best_trial(trials: Sequence[SearchTrial]) -> SearchTrial | None:
    """Return the best trial of the last rung that has one which ended well; None where none did."""
    ranked = _ranked(trials)
    last = max((trial.rung for trial in ranked), default=0)
    return next((trial for trial in ranked if trial.rung == last), None)


def on_trials(spec: LoopSpec, search: Decision, trials: Sequence[SearchTrial]) -> Decision:
    """Return how the version is trained, by what the trials of a search showed."""
    judged, best = [trial for trial in trials if trial.is_judged], best_trial(trials)
    count = f"{len(judged)} trial{'s' * (len(judged) != 1)}"
    reason = f"None of {count} of the search has a result, so the loop's own settings are trained."
    figures: dict[str, float] = {f"trial_{trial.number}": trial.value for trial in _ranked(trials)}
    if best:
        reason = f"Of {count}, trial {best.number} is the best: {best.sentence}."
        figures |= {"best_low": best.low, "best_high": best.high}
    return replace(
        search,
        number=0,
        action=DecisionAction.TRAIN,
        rule=SEARCH,
        reason=reason,
        figures={"num_trials": float(len(judged)), **figures},
        training=trial_settings(spec, best) if best else {},
    )


def trial_settings(spec: LoopSpec, trial: SearchTrial) -> dict[str, Any]:
    """Return the trainer's settings that a trial asks for, where they differ from the loop's own."""
    own_rank, own_alpha = (_own_lora(spec, name) for name in ("r", "lora_alpha"))
    settings: dict[str, Any] = {"learning_rate": trial.learning_rate}
    if trial.rank in (0, own_rank):
        return settings
    # What an adapter adds is scaled by alpha over rank, which stays as it is.
    return {**settings, "lora": {"r": trial.rank, "lora_alpha": own_alpha * trial.rank // own_rank}}


def _is_searched(rounds: Sequence[Round], model_version_id: str) -> bool:
    decisions = [decision for item in rounds for decision in item.decisions]
    searches = [decision for decision in decisions if decision.action is DecisionAction.SEARCH]
    return any(decision.model_version_id == model_version_id for decision in searches)


def _ranked(trials: Sequence[SearchTrial]) -> list[SearchTrial]:
    """Return the trials that ended well, the best first; of equal ones the earlier, nearer to the loop's own."""
    judged = [trial for trial in trials if trial.is_judged and not trial.problem]
    return sorted(judged, key=lambda trial: (-trial.value, trial.number))


def _own_lora(spec: LoopSpec, name: str) -> int:
    return int(spec.training.get("lora", {}).get(name) or _default_lora(name))


def _default_lora(name: str) -> int:
    return int(default_of(LoraConfig.DESCRIPTOR.fields_by_name[name]))
