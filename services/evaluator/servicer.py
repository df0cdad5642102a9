"""The RPCs of this service: wire in, use case, wire out; the contract documents each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from operator import attrgetter

from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2, export_pb2, verdict_pb2
from drillyard.evaluator.v1.evaluator_service_pb2_grpc import EvaluatorServiceServicer

from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.evaluator.convert import (
    answer_from_proto,
    comparison_to_proto,
    evaluation_to_proto,
    facts_from_proto,
    format_from_proto,
    grader_from_proto,
    judged_to_proto,
    parity_to_proto,
    verdict_to_proto,
)
from services.evaluator.domain.verdict import VerdictFilter
from services.evaluator.usecases.comparisons import ComparisonUseCases
from services.evaluator.usecases.evaluations import EvaluationUseCases
from services.evaluator.usecases.exports import ExportUseCases
from services.evaluator.usecases.judgements import JudgementUseCases
from services.evaluator.usecases.verdicts import VerdictUseCases

SERVICE_NAME = "drillyard.evaluator.v1.EvaluatorService"
_rpcs = ResourceRpcs(attrgetter("evaluations.resource"), evaluation_to_proto)


class _JobRpcs:
    """What every kind of job has."""

    GetEvaluation = _rpcs.get(evaluation_pb2.GetEvaluationResponse)
    DeleteEvaluation = _rpcs.delete(evaluation_pb2.DeleteEvaluationResponse)
    CancelEvaluation = _rpcs.cancel(evaluation_pb2.CancelEvaluationResponse)
    WatchEvaluation = _rpcs.watch(evaluation_pb2.WatchEvaluationResponse)


@dataclass(frozen=True, kw_only=True)
class EvaluatorServicer(_JobRpcs, EvaluatorServiceServicer):
    """Answers `EvaluatorService`."""

    evaluations: EvaluationUseCases
    verdicts: VerdictUseCases
    judgements: JudgementUseCases
    comparisons: ComparisonUseCases
    exports: ExportUseCases

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

    async def Judge(self, request: verdict_pb2.JudgeRequest, context: Context) -> verdict_pb2.JudgeResponse:
        """Judge one answer."""
        verdict = await self.judgements.judge(answer_from_proto(request))
        return verdict_pb2.JudgeResponse(verdict=verdict_to_proto(verdict))

    async def JudgeBatch(
        self, request: verdict_pb2.JudgeBatchRequest, context: Context
    ) -> verdict_pb2.JudgeBatchResponse:
        """Judge many answers; a bad one does not spoil the others."""
        # A thousand answers are a tenth of a second of conversion, which is too long for the event loop.
        answers = await asyncio.to_thread(list, map(answer_from_proto, request.requests))
        results = await self.judgements.judge_batch(answers)
        return await asyncio.to_thread(lambda: verdict_pb2.JudgeBatchResponse(results=map(judged_to_proto, results)))

    async def JudgeStream(
        self, request_iterator: AsyncIterator[verdict_pb2.JudgeStreamRequest], context: Context
    ) -> AsyncIterator[verdict_pb2.JudgeStreamResponse]:
        """Judge answers as they come, in their order."""
        asked = (answer_from_proto(one.request) async for one in request_iterator)
        async with aclosing(self.judgements.judge_stream(asked)) as results:
            async for result in results:
                yield verdict_pb2.JudgeStreamResponse(result=judged_to_proto(result))

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

    async def ExportEvaluation(
        self, request: export_pb2.ExportEvaluationRequest, context: Context
    ) -> AsyncIterator[export_pb2.ExportEvaluationResponse]:
        """Stream an evaluation as a file."""
        file = await self.exports.export(
            request.evaluation_id,
            format_from_proto(request),
            before_evaluation_id=request.before_evaluation_id,
            facts=facts_from_proto(request),
        )
        yield export_pb2.ExportEvaluationResponse(file_name=file.name, media_type=file.media_type)
        async with aclosing(file.chunks) as chunks:
            async for chunk in chunks:
                yield export_pb2.ExportEvaluationResponse(chunk=chunk)
