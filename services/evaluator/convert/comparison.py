"""Comparisons and parity, to the wire."""

from drillyard.evaluator.v1 import comparison_pb2 as pb

from services.chassis.wire import to_message
from services.evaluator.domain.comparison import Comparison
from services.evaluator.domain.parity import Parity


def comparison_to_proto(comparison: Comparison) -> pb.Comparison:
    """Return the comparison."""
    return to_message(
        comparison,
        pb.Comparison,
        by_tool=[to_message(change, pb.ToolChange, tool=change.name) for change in comparison.by_tool],
        by_cause=[
            pb.CauseChange(cause=change.cause, num_cases_before=change.num_before, num_cases_after=change.num_after)
            for change in comparison.by_cause
        ],
        by_category=[to_message(change, pb.CategoryChange, category=change.name) for change in comparison.by_category],
        gained_case_ids=[change.case_id for change in comparison.gains],
        lost_case_ids=[change.case_id for change in comparison.losses],
    )


def parity_to_proto(parity: Parity) -> pb.Parity:
    """Return the parity."""
    differences = [
        to_message(
            difference.answer,
            pb.ParityDifference,
            cause_before=difference.cause_before,
            cause_after=difference.cause_after,
        )
        for difference in parity.differences
    ]
    return to_message(parity, pb.Parity, differences=differences, guilty_step=parity.guilty_step.value)
