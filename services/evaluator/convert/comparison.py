"""Comparisons and parity, to the wire."""

from __future__ import annotations

from collections.abc import Iterable

from drillyard.evaluator.v1 import comparison_pb2

from services.evaluator.convert.metrics import interval_to_proto, rates_to_proto
from services.evaluator.domain.comparison import CaseChange, Comparison, Difference
from services.evaluator.domain.parity import Parity, ParityDifference


def comparison_to_proto(comparison: Comparison) -> comparison_pb2.Comparison:
    """Return the comparison."""
    return comparison_pb2.Comparison(
        before_evaluation_id=comparison.before_evaluation_id,
        after_evaluation_id=comparison.after_evaluation_id,
        before=rates_to_proto(comparison.before),
        after=rates_to_proto(comparison.after),
        by_tool=[
            comparison_pb2.ToolChange(
                tool=change.name, before=rates_to_proto(change.before), after=rates_to_proto(change.after)
            )
            for change in comparison.by_tool
        ],
        by_cause=[
            comparison_pb2.CauseChange(
                cause=change.cause, num_cases_before=change.num_before, num_cases_after=change.num_after
            )
            for change in comparison.by_cause
        ],
        by_category=[
            comparison_pb2.CategoryChange(
                category=change.name, before=rates_to_proto(change.before), after=rates_to_proto(change.after)
            )
            for change in comparison.by_category
        ],
        gained_case_ids=[change.case_id for change in comparison.gains],
        lost_case_ids=[change.case_id for change in comparison.losses],
        sentence=comparison.sentence,
        conforming=_difference(comparison.conforming),
        accepted=_difference(comparison.accepted),
        well_formed=_difference(comparison.well_formed),
        gains=_case_changes(comparison.gains),
        losses=_case_changes(comparison.losses),
        advice=comparison.advice,
    )


def parity_to_proto(parity: Parity) -> comparison_pb2.Parity:
    """Return the parity."""
    return comparison_pb2.Parity(
        before_evaluation_id=parity.before_evaluation_id,
        after_evaluation_id=parity.after_evaluation_id,
        num_compared=parity.num_compared,
        equal_answers_rate=parity.equal_answers_rate,
        equal_verdicts_rate=parity.equal_verdicts_rate,
        equal_answers_interval=interval_to_proto(parity.equal_answers_interval),
        equal_verdicts_interval=interval_to_proto(parity.equal_verdicts_interval),
        differences=map(_parity_difference, parity.differences),
        guilty_step=parity.guilty_step.value,
        sentence=parity.sentence,
    )


def _difference(difference: Difference) -> comparison_pb2.Difference:
    return comparison_pb2.Difference(
        mean=difference.mean, interval=interval_to_proto(difference.interval), p_value=difference.p_value
    )


def _case_changes(changes: Iterable[CaseChange]) -> list[comparison_pb2.CaseChange]:
    return [
        comparison_pb2.CaseChange(
            case_id=change.case_id,
            tool=change.tool,
            category=change.category,
            cause_before=change.cause_before,
            cause_after=change.cause_after,
            sentence=change.sentence,
        )
        for change in changes
    ]


def _parity_difference(one: ParityDifference) -> comparison_pb2.ParityDifference:
    return comparison_pb2.ParityDifference(
        case_id=one.answer.case_id,
        repeat=one.answer.repeat,
        turn=one.answer.turn,
        token_index=one.answer.token_index,
        before=one.answer.before,
        after=one.answer.after,
        cause_before=one.cause_before,
        cause_after=one.cause_after,
    )
