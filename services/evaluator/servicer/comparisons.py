"""The RPC of comparisons."""

from drillyard.evaluator.v1 import comparison_pb2

from services.chassis.calls import Context
from services.evaluator.convert.comparison import comparison_to_proto, parity_to_proto
from services.evaluator.usecases.comparisons import ComparisonUseCases


class ComparisonRpcs:
    """Compare, and check parity."""

    comparisons: ComparisonUseCases

    async def CompareEvaluations(
        self, request: comparison_pb2.CompareEvaluationsRequest, context: Context
    ) -> comparison_pb2.CompareEvaluationsResponse:
        """Compare two finished evaluations."""
        comparison = await self.comparisons.compare(request.before_evaluation_id, request.after_evaluation_id)
        return comparison_pb2.CompareEvaluationsResponse(comparison=comparison_to_proto(comparison))

    async def CheckParity(
        self, request: comparison_pb2.CheckParityRequest, context: Context
    ) -> comparison_pb2.CheckParityResponse:
        """Say how far two forms of one model agree."""
        parity = await self.comparisons.check_parity(request.before_evaluation_id, request.after_evaluation_id)
        return comparison_pb2.CheckParityResponse(parity=parity_to_proto(parity))
