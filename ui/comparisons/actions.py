"""Comparing evaluations, as progress and as two forms of one model."""

from __future__ import annotations

import asyncio

from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2, verdict_pb2

from services.chassis.errors import FailedPrecondition
from ui.comparisons.views import ChangeView, MatrixView, change_view, matrix_view
from ui.gateway.clients import Clients, every
from ui.test_runs.actions import newest_evaluation

# Both sides' verdicts are read and resampled.
COMPARE_SECONDS = 120.0


async def compare_test_runs(clients: Clients, before_test_run_id: str, after_test_run_id: str) -> ChangeView:
    """Return the newest evaluations of two runs side by side.

    Raises:
        FailedPrecondition: A run is not judged yet, or the two are not comparable.
    """
    return await compare_evaluations(clients, *await _evaluation_ids(clients, before_test_run_id, after_test_run_id))


async def check_parity(clients: Clients, before_test_run_id: str, after_test_run_id: str) -> comparison_pb2.Parity:
    """Return how far two forms of one model agree, by the newest evaluations of their runs.

    Raises:
        FailedPrecondition: A run is not judged yet, or they did not answer the same prompts.
    """
    before_id, after_id = await _evaluation_ids(clients, before_test_run_id, after_test_run_id)
    request = comparison_pb2.CheckParityRequest(before_evaluation_id=before_id, after_evaluation_id=after_id)
    return (await clients.evaluator.CheckParity(request, timeout=COMPARE_SECONDS)).parity


async def cause_matrix(clients: Clients, before_id: str, after_id: str) -> MatrixView:
    """Return how the verdicts of two evaluations are spread over tools and causes."""
    both = [
        await every(clients.evaluator.ListVerdicts, verdict_pb2.ListVerdictsRequest(evaluation_id=item), "verdicts")
        for item in (before_id, after_id)
    ]
    return matrix_view(*both)


async def compare_evaluations(clients: Clients, before_id: str, after_id: str) -> ChangeView:
    """Return two finished evaluations side by side."""
    compared = clients.evaluator.CompareEvaluations(
        comparison_pb2.CompareEvaluationsRequest(before_evaluation_id=before_id, after_evaluation_id=after_id),
        timeout=COMPARE_SECONDS,
    )
    comparison, before, after = await asyncio.gather(
        compared,
        clients.evaluator.GetEvaluation(evaluation_pb2.GetEvaluationRequest(evaluation_id=before_id)),
        clients.evaluator.GetEvaluation(evaluation_pb2.GetEvaluationRequest(evaluation_id=after_id)),
    )
    return change_view(before.evaluation, after.evaluation, comparison.comparison)


async def _evaluation_ids(clients: Clients, *run_ids: str) -> list[str]:
    result = await asyncio.gather(*(newest_evaluation(clients, run_id) for run_id in run_ids))
    for run_id, evaluation in zip(run_ids, result, strict=True):
        if evaluation is None:
            raise FailedPrecondition(f"The test run {run_id!r} is not judged.", "Evaluate it first.")
    return [item.evaluation_id for item in result if item]
