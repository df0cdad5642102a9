"""The test runner over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc.aio
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2 as pb
from drillyard.test_runner.v1 import test_runner_service_pb2_grpc

from services.chassis.waiting import patiently
from services.feedback.clients.jobs import progress_until_end, work_state
from services.feedback.domain.work import TestOrder, WorkProgress, WorkState

_PEER = "the test runner"


class GrpcTestRunner:
    """Implements `ports.TestRunner`; every call is patient."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)

    async def start(self, request_id: str, order: TestOrder) -> str:
        """Start a test run once per request id and return its id."""
        spec = pb.TestRunSpec(
            model_version_id=order.model_version_id,
            test_suite_version_id=order.test_suite_version_id,
            prompt_size=order.prompt_size,
            sampling=pb.Sampling(max_new_tokens=order.max_new_tokens),
            num_repeats=1,
            seed=order.seed,
        )
        return await self._create(request_id, spec)

    async def is_incomplete(self, test_run_id: str) -> bool:
        """Return whether a run that has ended left so many cases unanswered that its rates decide nothing."""
        return (await patiently(lambda: self._run(test_run_id), _PEER)).is_incomplete

    async def finish(self, request_id: str, test_run_id: str) -> str:
        """Have the cases asked that a run did not answer, in a run that takes over all others; return its id."""
        return await self._create(request_id, pb.TestRunSpec(repeat_of_test_run_id=test_run_id, keep_answers=True))

    def watch(self, work_id: str) -> AsyncGenerator[WorkProgress, None]:
        """Yield how far the run is until it has ended."""
        return progress_until_end(
            lambda: self._job(work_id),
            lambda after: self._stub.WatchTestRun(pb.WatchTestRunRequest(test_run_id=work_id, after_sequence=after)),
            _PEER,
        )

    async def state(self, work_id: str) -> WorkState:
        """Return how the run stands."""
        return work_state(await patiently(lambda: self._job(work_id), _PEER))

    async def cancel(self, work_id: str) -> None:
        """Cancel the run.

        Raises:
            FailedPrecondition: It has ended.
        """
        request = pb.CancelTestRunRequest(test_run_id=work_id)
        await patiently(lambda: self._stub.CancelTestRun(request), _PEER)

    async def _create(self, request_id: str, spec: pb.TestRunSpec) -> str:
        request = pb.CreateTestRunRequest(request_id=request_id, spec=spec)
        response = await patiently(lambda: self._stub.CreateTestRun(request), _PEER)
        return str(response.test_run.test_run_id)

    async def _run(self, test_run_id: str) -> pb.TestRun:
        return (await self._stub.GetTestRun(pb.GetTestRunRequest(test_run_id=test_run_id))).test_run

    async def _job(self, work_id: str) -> job_pb2.Job:
        return (await self._run(work_id)).job
