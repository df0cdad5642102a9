"""What the rounds of a loop made, and why a loop ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from services.feedback.domain.decision import Decision, DecisionTopic, decision_from_document


class Step(StrEnum):
    """One step of a round, in order; the last round ends after its evaluation.

    Only the first round has a diagnosis, and only a loop whose goals are set on a form has exports. Samples are drawn
    where a decision needs them, and a person is asked where the loop was told to.
    """

    DIAGNOSE = "diagnose"
    EXPORT = "export"
    TEST = "test"
    EVALUATE = "evaluate"
    PROBE = "probe"
    PROBE_EVALUATE = "probe_evaluate"
    SAMPLE = "sample"
    SAMPLE_EVALUATE = "sample_evaluate"
    ASK = "ask"
    DATASET = "dataset"
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
    the loop, it probes that version, decides what to train and trains it, and the next round tests the result.
    `num_finishes` says by step how often the cases that its run had not answered were asked again, each time in another
    run whose id then stands here.
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
    decisions: tuple[Decision, ...] = ()
    sample_test_run_id: str = ""
    sample_evaluation_id: str = ""

    @property
    def tested_model_version_id(self) -> str:
        """The version that answers the suite."""
        return self.form_model_version_id or self.model_version_id

    @property
    def is_training(self) -> bool:
        """Whether it goes on to a training: what has begun is not given up for the time that a restart took."""
        return bool(self.probe_test_suite_version_id) or self.decision_on(DecisionTopic.TRAINING) is not None

    def decision_on(self, topic: DecisionTopic) -> Decision | None:
        """Return the decision on a topic that counts: the last one."""
        return next((decision for decision in reversed(self.decisions) if decision.topic is topic), None)


def round_to_document(made: Round) -> dict[str, Any]:
    """Return the round as JSON values."""
    return asdict(made)


def round_from_document(document: Mapping[str, Any]) -> Round:
    """Return the round that `round_to_document` wrote."""
    rates, decisions = document["rates"], document.get("decisions", ())
    parts = {"rates": Rates(**rates) if rates else None, "decisions": tuple(map(decision_from_document, decisions))}
    return Round(**{**document, **parts})
