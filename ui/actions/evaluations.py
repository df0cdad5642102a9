"""Comparing evaluations."""

from __future__ import annotations

import asyncio

from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2

from services.chassis.errors import FailedPrecondition
from ui.actions.test_runs import newest_evaluation
from ui.clients import Clients
from ui.views.evaluations import ChangeView, change_view


async def compare_test_runs(clients: Clients, before_test_run_id: str, after_test_run_id: str) -> ChangeView:
    """Return the newest evaluations of two runs side by side.

    Raises:
        FailedPrecondition: A run is not judged yet, or the two are not comparable.
    """
    run_ids = (before_test_run_id, after_test_run_id)
    found = await asyncio.gather(*(newest_evaluation(clients, run_id) for run_id in run_ids))
    for run_id, evaluation in zip(run_ids, found, strict=True):
        if evaluation is None:
            raise FailedPrecondition(f"The test run {run_id!r} is not judged.", "Evaluate it first.")
    return await compare_evaluations(clients, *(one.evaluation_id for one in found if one))


async def compare_evaluations(clients: Clients, before_id: str, after_id: str) -> ChangeView:
    """Return two finished evaluations side by side."""
    compared = clients.evaluator.CompareEvaluations(
        comparison_pb2.CompareEvaluationsRequest(before_evaluation_id=before_id, after_evaluation_id=after_id)
    )
    comparison, before, after = await asyncio.gather(
        compared,
        clients.evaluator.GetEvaluation(evaluation_pb2.GetEvaluationRequest(evaluation_id=before_id)),
        clients.evaluator.GetEvaluation(evaluation_pb2.GetEvaluationRequest(evaluation_id=after_id)),
    )
    return change_view(before.evaluation, after.evaluation, comparison.comparison)
