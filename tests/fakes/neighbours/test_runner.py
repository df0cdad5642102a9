"""A test runner behind the real contract that generates nothing: its runs end at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from drillyard.test_runner.v1 import test_run_pb2 as pb
from drillyard.test_runner.v1 import test_runner_service_pb2_grpc
from google.protobuf.json_format import MessageToDict, ParseDict

from services.chassis.jobs import Job, Json
from services.chassis.jobs.convert import job_to_proto
from tests.fakes.neighbours.gates import Gates
from tests.fakes.neighbours.jobs import FakeJobs


class FakeTestRunner(test_runner_service_pb2_grpc.TestRunnerServiceServicer):
    """The RPCs that a loop calls."""

    def __init__(self, gates: Gates) -> None:
        self.jobs = FakeJobs("test_run", gates, self._run)

    async def spec_of(self, test_run_id: str) -> pb.TestRunSpec:
        """Return what a run was asked to do."""
        return ParseDict((await self.jobs.store.get(test_run_id)).spec, pb.TestRunSpec())

    async def CreateTestRun(self, request: pb.CreateTestRunRequest, context: Any) -> pb.CreateTestRunResponse:
        job = await self.jobs.create(request.request_id, MessageToDict(request.spec, preserving_proto_field_name=True))
        return pb.CreateTestRunResponse(test_run=_run(job))

    async def GetTestRun(self, request: pb.GetTestRunRequest, context: Any) -> pb.GetTestRunResponse:
        return pb.GetTestRunResponse(test_run=_run(await self.jobs.store.get(request.test_run_id)))

    async def CancelTestRun(self, request: pb.CancelTestRunRequest, context: Any) -> pb.CancelTestRunResponse:
        return pb.CancelTestRunResponse(test_run=_run(await self.jobs.store.request_cancel(request.test_run_id)))

    async def WatchTestRun(
        self, request: pb.WatchTestRunRequest, context: Any
    ) -> AsyncIterator[pb.WatchTestRunResponse]:
        async for event in self.jobs.watch(request.test_run_id, request.after_sequence):
            yield pb.WatchTestRunResponse(event=event)

    async def _run(self, job: Job) -> Json:
        return {}


def _run(job: Job) -> pb.TestRun:
    return pb.TestRun(test_run_id=job.job_id, job=job_to_proto(job), spec=ParseDict(job.spec, pb.TestRunSpec()))
