"""The RPCs of verdicts."""

from drillyard.evaluator.v1 import verdict_pb2

from services.chassis.calls import Context
from services.evaluator.convert.verdict import verdict_to_proto
from services.evaluator.domain.verdict import VerdictFilter
from services.evaluator.usecases.verdicts import VerdictUseCases


class VerdictRpcs:
    """List verdicts."""

    verdicts: VerdictUseCases

    async def ListVerdicts(
        self, request: verdict_pb2.ListVerdictsRequest, context: Context
    ) -> verdict_pb2.ListVerdictsResponse:
        """List verdicts in the order of judging."""
        page, token, total = await self.verdicts.list_verdicts(
            request.evaluation_id,
            VerdictFilter(
                tool=request.tool,
                cause=request.cause,
                category=request.category,
                layer=request.layer,
                case_id=request.case_id,
            ),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return verdict_pb2.ListVerdictsResponse(
            verdicts=map(verdict_to_proto, page), next_page_token=token, total_size=total
        )
