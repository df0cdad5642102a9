"""Comparisons: two evaluations of one suite version side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.evaluator.domain.evaluation import EvaluationRecord, Metrics, Rates


@dataclass(frozen=True)
class Side:
    """One evaluation that is compared; `outcomes` says of each case whether all its repeats conform."""

    record: EvaluationRecord
    metrics: Metrics
    outcomes: Mapping[str, bool]


@dataclass(frozen=True)
class ToolChange:
    """The change of one tool's rates."""

    tool: str
    before: Rates
    after: Rates


@dataclass(frozen=True)
class CauseChange:
    """The change of one cause's count."""

    cause: str
    num_before: int
    num_after: int


@dataclass(frozen=True)
class Comparison:
    """What was gained and lost from the earlier to the later evaluation."""

    before_evaluation_id: str
    after_evaluation_id: str
    before: Rates
    after: Rates
    by_tool: tuple[ToolChange, ...]
    by_cause: tuple[CauseChange, ...]
    gained_case_ids: tuple[str, ...]
    lost_case_ids: tuple[str, ...]
    sentence: str
