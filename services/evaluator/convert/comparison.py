"""Comparisons, to the wire."""

from __future__ import annotations

from drillyard.evaluator.v1 import comparison_pb2

from services.evaluator.convert.evaluation import rates_to_proto
from services.evaluator.domain.comparison import Comparison


def comparison_to_proto(comparison: Comparison) -> comparison_pb2.Comparison:
    """Return the comparison."""
    return comparison_pb2.Comparison(
        before_evaluation_id=comparison.before_evaluation_id,
        after_evaluation_id=comparison.after_evaluation_id,
        before=rates_to_proto(comparison.before),
        after=rates_to_proto(comparison.after),
        by_tool=[
            comparison_pb2.ToolChange(
                tool=change.tool, before=rates_to_proto(change.before), after=rates_to_proto(change.after)
            )
            for change in comparison.by_tool
        ],
        by_cause=[
            comparison_pb2.CauseChange(
                cause=change.cause, num_cases_before=change.num_before, num_cases_after=change.num_after
            )
            for change in comparison.by_cause
        ],
        gained_case_ids=comparison.gained_case_ids,
        lost_case_ids=comparison.lost_case_ids,
        sentence=comparison.sentence,
    )
