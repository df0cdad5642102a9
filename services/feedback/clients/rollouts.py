"""What became of the answers of test runs that ask each case several times, over gRPC."""

from __future__ import annotations

import grpc.aio
from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2_grpc, verdict_pb2
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc

from services.chassis.waiting import listed
from services.feedback.domain.dataset_build import Rollouts
from services.protocols.verdict import NOT_THE_MODELS

_PEER = "the evaluator"
_PAGE_SIZE = 1000


class GrpcRollouts:
    """Implements `ports.neighbours.RolloutSource`."""

    def __init__(self, evaluator: grpc.aio.Channel, test_runner: grpc.aio.Channel) -> None:
        self._evaluator = evaluator_service_pb2_grpc.EvaluatorServiceStub(evaluator)
        self._test_runner = test_runner_service_pb2_grpc.TestRunnerServiceStub(test_runner)

    async def rollouts(self, evaluation_id: str) -> Rollouts:
        """Return what an evaluation is of.

        Raises:
            NotFound: There is none, or its run is gone.
        """
        request = evaluation_pb2.GetEvaluationRequest(evaluation_id=evaluation_id)
        evaluation = (await self._evaluator.GetEvaluation(request)).evaluation
        of_run = test_run_pb2.GetTestRunRequest(test_run_id=evaluation.test_run_id)
        run = (await self._test_runner.GetTestRun(of_run)).test_run
        return Rollouts(
            evaluation_id=evaluation.evaluation_id,
            profile_id=evaluation.profile_id,
            test_suite_version_id=evaluation.test_suite_version_id,
            prompt_size=run.spec.prompt_size,
            num_repeats=run.spec.num_repeats,
            is_finished=evaluation.job.state == job_pb2.JOB_STATE_SUCCEEDED,
        )

    async def causes(self, evaluation_id: str) -> dict[str, list[str]]:
        """Return by case why each of its answers fails, empty for one that conforms; the call is patient."""
        causes: dict[str, list[str]] = {}
        request = verdict_pb2.ListVerdictsRequest(evaluation_id=evaluation_id, page_size=_PAGE_SIZE)
        async for verdict in listed(self._evaluator.ListVerdicts, request, _PEER):
            if verdict.cause not in NOT_THE_MODELS:
                causes.setdefault(verdict.case_id, []).append(verdict.cause)
        return causes
