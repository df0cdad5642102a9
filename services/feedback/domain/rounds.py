"""What the rounds of a loop made, and why a loop ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

from services.feedback.decisions.decision import Decision, DecisionTopic, decision_from_document
from services.feedback.decisions.trial import SearchTrial
from services.feedback.domain.goals import Reading
from services.feedback.domain.guardrails import GuardrailReading
from services.feedback.domain.spending import Cost


class Step(StrEnum):
    """One step of a round, in order; the last round ends after its evaluation.

    Only the first round has a diagnosis, only a loop whose goals are set on a form has exports, and only one with
    guardrails tests them. Samples are drawn where a decision needs them, settings are searched for where one says so,
    and a person is asked where the loop was told to.
    """

    DIAGNOSE = "diagnose"
    EXPORT = "export"
    TEST = "test"
    EVALUATE = "evaluate"
    GUARDRAIL = "guardrail"
    PROBE = "probe"
    PROBE_EVALUATE = "probe_evaluate"
    SAMPLE = "sample"
    SAMPLE_EVALUATE = "sample_evaluate"
    ASK = "ask"
    DATASET = "dataset"
    SEARCH = "search"
    TRAIN = "train"


# What the progress of a loop that has ended says instead of a step.
ENDED = "ended"
LAST_ROUND_STEPS = (Step.TEST, Step.EVALUATE)
ROUND_STEPS = (Step.TEST, Step.EVALUATE, Step.PROBE, Step.PROBE_EVALUATE, Step.DATASET, Step.TRAIN)
# The type of the events that tell of steps.
STEP_EVENT = "step"


class StopReason(StrEnum):
    """Why a loop ended."""

    GOALS_MET = "GOALS_MET"
    OUT_OF_ROUNDS = "OUT_OF_ROUNDS"
    OUT_OF_TIME = "OUT_OF_TIME"
    NO_PROGRESS = "NO_PROGRESS"
    CANCELLED = "CANCELLED"
    OUT_OF_TOKENS = "OUT_OF_TOKENS"
    OUT_OF_MONEY = "OUT_OF_MONEY"
    GUARDRAIL_BROKEN = "GUARDRAIL_BROKEN"
    NOTHING_TO_LEARN = "NOTHING_TO_LEARN"
    TEMPLATE_FAULT = "TEMPLATE_FAULT"


@dataclass(frozen=True)
class Stop:
    """Why a loop ended, one sentence on it for a person, and one on what to try next where a goal was not reached."""

    reason: StopReason
    sentence: str
    next_step: str = ""


@dataclass(frozen=True)
class Rates:
    """Shares of transcripts, 0 to 1."""

    conforming_rate: float
    accepted_rate: float
    well_formed_rate: float

    def value(self, metric: str) -> float:
        """Return the rate that a goal names."""
        return float(getattr(self, metric))


@dataclass(frozen=True)
class Round:
    """What one round made. A field is empty until its step has begun.

    A round tests and evaluates `model_version_id`, or the form of it that the goals are set on; when that does not end
    the loop, it probes the best version so far, decides what to train and trains it, and the next round tests the
    result.

    Attributes:
        num_finishes: By the name of a run, how often the cases that it had not answered were asked again, each time in
            another run whose id then stands here.
        readings: Of each goal, in the goals' order; empty until evaluated, and in rounds of a release without them.
        guardrails: Of each guardrail, in the guardrails' order.
        base_model_version_id: What is probed and trained; empty until decided, and in rounds of a release that went on
            from each round's own version.
        num_probe_failures: None until the probe is evaluated.
        costs: What the round's work took, by the name under which it was asked for.
    """

    number: int
    model_version_id: str
    test_run_id: str = ""
    evaluation_id: str = ""
    rates: Rates | None = None
    probe_test_suite_version_id: str = ""
    probe_test_run_id: str = ""
    probe_evaluation_id: str = ""
    dataset_version_id: str = ""
    training_job_id: str = ""
    num_finishes: Mapping[str, int] = field(default_factory=dict)
    export_id: str = ""
    form_model_version_id: str = ""
    readings: tuple[Reading, ...] = ()
    guardrails: tuple[GuardrailReading, ...] = ()
    base_model_version_id: str = ""
    num_probe_failures: int | None = None
    costs: Mapping[str, Cost] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    sample_test_run_id: str = ""
    sample_evaluation_id: str = ""
    trials: tuple[SearchTrial, ...] = ()

    @property
    def tested_model_version_id(self) -> str:
        """The version that answers the suite."""
        return self.form_model_version_id or self.model_version_id

    @property
    def trained_model_version_id(self) -> str:
        """The version that is probed and trained."""
        return self.base_model_version_id or self.model_version_id

    def decision_on(self, topic: DecisionTopic) -> Decision | None:
        """Return the decision on a topic that counts: the last one."""
        return next((decision for decision in reversed(self.decisions) if decision.topic is topic), None)

    @property
    def is_rolled_back(self) -> bool:
        """Whether the version lost what it must not, so that nothing goes on from it."""
        return any(reading.is_broken for reading in self.guardrails)


def adapter_settings(rounds: Sequence[Round], model_version_id: str) -> dict[str, Any]:
    """Return the settings of the adapter that a version is, where decisions made them other than the loop's own.

    What is trained further keeps its settings, unless a decision raised its rank.
    """
    for before, item in pairwise(rounds):
        decision = before.decision_on(DecisionTopic.TRAINING)
        if item.model_version_id == model_version_id and decision is not None:
            own = {"lora": decision.training["lora"]} if "lora" in decision.training else {}
            return own or adapter_settings(rounds[: item.number], decision.model_version_id)
    return {}


def with_adapter_settings(training: Mapping[str, Any], rounds: Sequence[Round], version_id: str) -> dict[str, Any]:
    """Return a loop's settings of the trainer with those of the adapter that a version is."""
    kept = adapter_settings(rounds, version_id)
    return {**training, **{name: {**training.get(name, {}), **value} for name, value in kept.items()}}


def round_to_document(made: Round) -> dict[str, Any]:
    """Return the round as JSON values."""
    return asdict(made)


def round_from_document(document: Mapping[str, Any]) -> Round:
    """Return the round that `round_to_document` wrote."""
    rates = document["rates"]
    values = {
        "rates": Rates(**rates) if rates else None,
        "readings": tuple(Reading(**reading) for reading in document.get("readings", ())),
        "guardrails": tuple(GuardrailReading(**reading) for reading in document.get("guardrails", ())),
        "decisions": tuple(map(decision_from_document, document.get("decisions", ()))),
        "trials": tuple(SearchTrial(**trial) for trial in document.get("trials", ())),
        "costs": {name: Cost(**cost) for name, cost in document.get("costs", {}).items()},
    }
    return Round(**{**document, **values})
