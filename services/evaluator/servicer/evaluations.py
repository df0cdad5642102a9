"""The RPCs of evaluations."""

from operator import attrgetter

from drillyard.evaluator.v1 import evaluation_pb2

from services.chassis.calls import Context
from services.chassis.jobs.convert import JobRpcs
from services.evaluator.convert.evaluation import evaluation_to_proto, grader_from_proto
from services.evaluator.usecases.evaluations import EvaluationUseCases

_rpcs = JobRpcs(attrgetter("evaluations.resource"), evaluation_to_proto)


class EvaluationRpcs:
    """Create, get, list, delete, cancel and watch."""

    evaluations: EvaluationUseCases
    GetEvaluation = _rpcs.get(evaluation_pb2.GetEvaluationResponse)
    DeleteEvaluation = _rpcs.delete(evaluation_pb2.DeleteEvaluationResponse)
    CancelEvaluation = _rpcs.cancel(evaluation_pb2.CancelEvaluationResponse)
    WatchEvaluation = _rpcs.watch(evaluation_pb2.WatchEvaluationResponse)

    async def CreateEvaluation(
        self, request: evaluation_pb2.CreateEvaluationRequest, context: Context
    ) -> evaluation_pb2.CreateEvaluationResponse:
        """Start an evaluation."""
        evaluation = await self.evaluations.create(request.request_id, request.test_run_id, grader_from_proto(request))
        return evaluation_pb2.CreateEvaluationResponse(evaluation=evaluation_to_proto(evaluation))

    async def ListEvaluations(
        self, request: evaluation_pb2.ListEvaluationsRequest, context: Context
    ) -> evaluation_pb2.ListEvaluationsResponse:
        """List evaluations, newest first."""
        page, token = await self.evaluations.list_evaluations(
            request.test_run_id, page_size=request.page_size, page_token=request.page_token
        )
        return evaluation_pb2.ListEvaluationsResponse(evaluations=map(evaluation_to_proto, page), next_page_token=token)
