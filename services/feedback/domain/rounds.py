"""What the rounds of a loop made, and why a loop ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Step(StrEnum):
    """One step of a round, in order; the last round ends after its evaluation.

    Only a loop whose goals are set on a form has exports.
    """

    EXPORT = "export"
    TEST = "test"
    EVALUATE = "evaluate"
    PROBE = "probe"
    PROBE_EVALUATE = "probe_evaluate"
    DATASET = "dataset"
    TRAIN = "train"


# What the progress of a loop that has ended says instead of a step.
ENDED = "ended"
LAST_ROUND_STEPS = (Step.TEST, Step.EVALUATE)
ROUND_STEPS = tuple(step for step in Step if step is not Step.EXPORT)
# The type of the events that tell of steps.
STEP_EVENT = "step"


class StopReason(StrEnum):
    """Why a loop ended."""

    GOALS_MET = "GOALS_MET"
    OUT_OF_ROUNDS = "OUT_OF_ROUNDS"
    OUT_OF_TIME = "OUT_OF_TIME"
    NO_PROGRESS = "NO_PROGRESS"
    CANCELLED = "CANCELLED"


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
    the loop, it probes that version and trains it on what failed there, and the next round tests the result.
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

    @property
    def tested_model_version_id(self) -> str:
        """The version that answers the suite."""
        return self.form_model_version_id or self.model_version_id


def round_to_document(made: Round) -> dict[str, Any]:
    """Return the round as JSON values."""
    return asdict(made)


def round_from_document(document: Mapping[str, Any]) -> Round:
    """Return the round that `round_to_document` wrote."""
    rates = document["rates"]
    return Round(**{**document, "rates": Rates(**rates) if rates else None})
