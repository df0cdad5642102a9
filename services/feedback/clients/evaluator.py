"""The evaluator over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc.aio
from drillyard.evaluator.v1 import evaluation_pb2 as pb
from drillyard.evaluator.v1 import evaluator_service_pb2_grpc, verdict_pb2
from drillyard.job.v1 import job_pb2

from services.chassis.waiting import patiently
from services.feedback.clients.jobs import progress_until_end, work_state
from services.feedback.domain.rounds import Rates
from services.feedback.domain.work import ProbeVerdict, WorkProgress, WorkState
from services.protocols.verdict import UNANSWERED

_PEER = "the evaluator"
_PAGE_SIZE = 200


class GrpcEvaluator:
    """Implements `ports.Evaluator`; every call is patient."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = evaluator_service_pb2_grpc.EvaluatorServiceStub(channel)

    async def start(self, request_id: str, test_run_id: str) -> str:
        """Start an evaluation once per request id and return its id."""
        request = pb.CreateEvaluationRequest(request_id=request_id, test_run_id=test_run_id)
        response = await patiently(lambda: self._stub.CreateEvaluation(request), _PEER)
        return str(response.evaluation.evaluation_id)

    async def rates(self, evaluation_id: str) -> Rates:
        """Return the rates of an evaluation that has ended."""
        evaluation = await patiently(lambda: self._evaluation(evaluation_id), _PEER)
        overall = evaluation.metrics.overall
        return Rates(overall.conforming_rate, overall.accepted_rate, overall.well_formed_rate)

    async def verdicts(self, evaluation_id: str) -> tuple[ProbeVerdict, ...]:
        """Return the verdicts on all answers in the order of judging; what was not answered has none."""
        found: list[ProbeVerdict] = []
        request = verdict_pb2.ListVerdictsRequest(evaluation_id=evaluation_id, page_size=_PAGE_SIZE)
        while True:
            page = await patiently(lambda: self._stub.ListVerdicts(request), _PEER)
            found += [
                ProbeVerdict(verdict.case_id, verdict.tool, verdict.cause, verdict.category)
                for verdict in page.verdicts
                if verdict.cause != UNANSWERED
            ]
            if not page.next_page_token:
                return tuple(found)
            request.page_token = page.next_page_token

    def watch(self, work_id: str) -> AsyncGenerator[WorkProgress, None]:
        """Yield how far the evaluation is until it has ended."""
        return progress_until_end(
            lambda: self._job(work_id),
            lambda after: self._stub.WatchEvaluation(
                pb.WatchEvaluationRequest(evaluation_id=work_id, after_sequence=after)
            ),
            _PEER,
        )

    async def state(self, work_id: str) -> WorkState:
        """Return how the evaluation stands."""
        return work_state(await patiently(lambda: self._job(work_id), _PEER))

    async def cancel(self, work_id: str) -> None:
        """Cancel the evaluation.

        Raises:
            FailedPrecondition: It has ended.
        """
        request = pb.CancelEvaluationRequest(evaluation_id=work_id)
        await patiently(lambda: self._stub.CancelEvaluation(request), _PEER)

    async def _evaluation(self, evaluation_id: str) -> pb.Evaluation:
        response = await self._stub.GetEvaluation(pb.GetEvaluationRequest(evaluation_id=evaluation_id))
        return response.evaluation

    async def _job(self, work_id: str) -> job_pb2.Job:
        return (await self._evaluation(work_id)).job
