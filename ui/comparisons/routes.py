"""REST routes that set two evaluations, or two test runs, side by side."""

from __future__ import annotations

from typing import Annotated

from drillyard.evaluator.v1 import comparison_pb2
from drillyard.test_runner.v1 import test_run_pb2
from fastapi import APIRouter, Query

from ui.shared.documents import ClientsOf, Document, document
from ui.shared.schemas import shows

router = APIRouter(tags=["comparisons"])
_SECONDS = 120.0


@router.get("/comparisons", responses=shows(comparison_pb2.CompareEvaluationsResponse))
async def compare_evaluations(
    clients: ClientsOf,
    before_evaluation_id: Annotated[str, Query(description="The earlier evaluation.")],
    after_evaluation_id: Annotated[str, Query(description="The later one, of the same suite version and sampling.")],
) -> Document:
    """Compare two finished evaluations: gains and losses with their intervals, and what to do."""
    request = comparison_pb2.CompareEvaluationsRequest(
        before_evaluation_id=before_evaluation_id, after_evaluation_id=after_evaluation_id
    )
    return document(await clients.evaluator.CompareEvaluations(request, timeout=_SECONDS))


@router.get("/parity", responses=shows(comparison_pb2.CheckParityResponse))
async def check_parity(
    clients: ClientsOf,
    before_evaluation_id: Annotated[str, Query(description="Evaluation of the one form.")],
    after_evaluation_id: Annotated[str, Query(description="Evaluation of the other form, on the same suite version.")],
) -> Document:
    """Say how far two forms of one model agree, and which step is guilty where they do not."""
    request = comparison_pb2.CheckParityRequest(
        before_evaluation_id=before_evaluation_id, after_evaluation_id=after_evaluation_id
    )
    return document(await clients.evaluator.CheckParity(request, timeout=_SECONDS))


@router.get("/test-run-comparisons", responses=shows(test_run_pb2.CompareTestRunsResponse))
async def compare_test_runs(
    clients: ClientsOf,
    before_test_run_id: Annotated[str, Query(description="The first run.")],
    after_test_run_id: Annotated[str, Query(description="The second run, of the same suite version.")],
    max_differences: Annotated[int, Query(ge=0, le=1000, description="Most differences; 0 means 50.")] = 0,
) -> Document:
    """Say whether two runs have the same transcripts, and where not."""
    request = test_run_pb2.CompareTestRunsRequest(
        before_test_run_id=before_test_run_id, after_test_run_id=after_test_run_id, max_differences=max_differences
    )
    return document(await clients.test_runner.CompareTestRuns(request, timeout=_SECONDS))
