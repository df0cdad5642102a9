"""Comparisons: two evaluations of one suite version side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.metrics import Interval, Metrics, Rates
from services.evaluator.domain.tallies import CaseTally, Failing


@dataclass(frozen=True)
class Side:
    """One evaluation that is compared, and the first failing verdict of each case that has one.

    `cases` counts only the repeats that both sides have answered.
    """

    record: EvaluationRecord
    metrics: Metrics
    cases: Sequence[CaseTally]
    failing: Mapping[str, Failing]


@dataclass(frozen=True)
class Change:
    """The change of the rates of one tool or of one kind of task."""

    name: str
    before: Rates
    after: Rates


@dataclass(frozen=True)
class CauseChange:
    """The change of one cause's count."""

    cause: str
    num_before: int
    num_after: int


@dataclass(frozen=True)
class Difference:
    """How much a rate rose: after minus before, its interval, and the p-value of an exact sign test on cases."""

    mean: float
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class CaseChange:
    """One case that was gained or lost; `sentence` says what was wrong, before for a gain and after for a loss."""

    case_id: str
    tool: str
    category: str
    cause_before: str
    cause_after: str
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """What was gained and lost from the earlier to the later evaluation."""

    before_evaluation_id: str
    after_evaluation_id: str
    before: Rates
    after: Rates
    by_tool: tuple[Change, ...]
    by_cause: tuple[CauseChange, ...]
    by_category: tuple[Change, ...]
    conforming: Difference
    accepted: Difference
    well_formed: Difference
    gains: tuple[CaseChange, ...]
    losses: tuple[CaseChange, ...]
    sentence: str
    advice: tuple[str, ...]
