"""The RPCs of evaluations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc.aio
from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2_grpc

from services.chassis.jobs.convert import watch_response
from services.evaluator.convert.evaluation import evaluation_to_proto, grader_from_proto
from services.evaluator.usecases.evaluations import EvaluationUseCases

_Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class EvaluationMethods(evaluator_service_pb2_grpc.EvaluatorServiceServicer):
    """Starts, shows, follows and cancels evaluations."""

    _evaluations: EvaluationUseCases

    async def CreateEvaluation(
        self, request: evaluation_pb2.CreateEvaluationRequest, context: _Context
    ) -> evaluation_pb2.CreateEvaluationResponse:
        """Start an evaluation."""
        evaluation = await self._evaluations.create(request.request_id, request.test_run_id, grader_from_proto(request))
        return evaluation_pb2.CreateEvaluationResponse(evaluation=evaluation_to_proto(evaluation))

    async def GetEvaluation(
        self, request: evaluation_pb2.GetEvaluationRequest, context: _Context
    ) -> evaluation_pb2.GetEvaluationResponse:
        """Return an evaluation."""
        evaluation = await self._evaluations.resource.get(request.evaluation_id)
        return evaluation_pb2.GetEvaluationResponse(evaluation=evaluation_to_proto(evaluation))

    async def ListEvaluations(
        self, request: evaluation_pb2.ListEvaluationsRequest, context: _Context
    ) -> evaluation_pb2.ListEvaluationsResponse:
        """List evaluations, newest first."""
        page, token = await self._evaluations.list_evaluations(
            request.test_run_id, page_size=request.page_size, page_token=request.page_token
        )
        return evaluation_pb2.ListEvaluationsResponse(evaluations=map(evaluation_to_proto, page), next_page_token=token)

    async def DeleteEvaluation(
        self, request: evaluation_pb2.DeleteEvaluationRequest, context: _Context
    ) -> evaluation_pb2.DeleteEvaluationResponse:
        """Delete an evaluation with its verdicts."""
        await self._evaluations.resource.delete(request.evaluation_id)
        return evaluation_pb2.DeleteEvaluationResponse()

    async def CancelEvaluation(
        self, request: evaluation_pb2.CancelEvaluationRequest, context: _Context
    ) -> evaluation_pb2.CancelEvaluationResponse:
        """Cancel an evaluation."""
        evaluation = await self._evaluations.resource.cancel(request.evaluation_id)
        return evaluation_pb2.CancelEvaluationResponse(evaluation=evaluation_to_proto(evaluation))

    async def WatchEvaluation(
        self, request: evaluation_pb2.WatchEvaluationRequest, context: _Context
    ) -> AsyncIterator[evaluation_pb2.WatchEvaluationResponse]:
        """Stream the events of an evaluation."""
        evaluations = self._evaluations.resource
        async with aclosing(evaluations.watch(request.evaluation_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(evaluation_pb2.WatchEvaluationResponse, event)
