"""RPCs of test runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from drillyard.test_runner.v1 import comparison_pb2, test_run_pb2

from services.chassis.jobs.convert import watch_response
from services.test_runner.convert.test_run import comparison_to_proto, spec_from_proto, test_run_to_proto
from services.test_runner.servicer.context import Context
from services.test_runner.usecases.comparison import ComparisonUseCases
from services.test_runner.usecases.test_run import TestRunUseCases


class TestRunRpcs:
    """Create, get, list, cancel, pause, resume, watch and compare."""

    runs: TestRunUseCases
    comparisons: ComparisonUseCases

    async def CreateTestRun(
        self, request: test_run_pb2.CreateTestRunRequest, context: Context
    ) -> test_run_pb2.CreateTestRunResponse:
        """Start a run."""
        run = await self.runs.create(request.request_id, spec_from_proto(request.spec))
        return test_run_pb2.CreateTestRunResponse(test_run=test_run_to_proto(run))

    async def GetTestRun(
        self, request: test_run_pb2.GetTestRunRequest, context: Context
    ) -> test_run_pb2.GetTestRunResponse:
        """Return a run."""
        run = await self.runs.resource.get(request.test_run_id)
        return test_run_pb2.GetTestRunResponse(test_run=test_run_to_proto(run))

    async def ListTestRuns(
        self, request: test_run_pb2.ListTestRunsRequest, context: Context
    ) -> test_run_pb2.ListTestRunsResponse:
        """List runs, newest first."""
        runs, token = await self.runs.resource.list(request.page_size, request.page_token)
        return test_run_pb2.ListTestRunsResponse(test_runs=map(test_run_to_proto, runs), next_page_token=token)

    async def DeleteTestRun(
        self, request: test_run_pb2.DeleteTestRunRequest, context: Context
    ) -> test_run_pb2.DeleteTestRunResponse:
        """Delete a run with its transcripts."""
        await self.runs.resource.delete(request.test_run_id)
        return test_run_pb2.DeleteTestRunResponse()

    async def CancelTestRun(
        self, request: test_run_pb2.CancelTestRunRequest, context: Context
    ) -> test_run_pb2.CancelTestRunResponse:
        """Cancel a run."""
        run = await self.runs.resource.cancel(request.test_run_id)
        return test_run_pb2.CancelTestRunResponse(test_run=test_run_to_proto(run))

    async def PauseTestRun(
        self, request: test_run_pb2.PauseTestRunRequest, context: Context
    ) -> test_run_pb2.PauseTestRunResponse:
        """Pause a run after its window."""
        run = await self.runs.resource.pause(request.test_run_id)
        return test_run_pb2.PauseTestRunResponse(test_run=test_run_to_proto(run))

    async def ResumeTestRun(
        self, request: test_run_pb2.ResumeTestRunRequest, context: Context
    ) -> test_run_pb2.ResumeTestRunResponse:
        """Let a paused run go on."""
        run = await self.runs.resource.resume(request.test_run_id)
        return test_run_pb2.ResumeTestRunResponse(test_run=test_run_to_proto(run))

    async def WatchTestRun(
        self, request: test_run_pb2.WatchTestRunRequest, context: Context
    ) -> AsyncIterator[test_run_pb2.WatchTestRunResponse]:
        """Stream the events of a run."""
        async with aclosing(self.runs.resource.watch(request.test_run_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(test_run_pb2.WatchTestRunResponse, event)

    async def CompareTestRuns(
        self, request: comparison_pb2.CompareTestRunsRequest, context: Context
    ) -> comparison_pb2.CompareTestRunsResponse:
        """Say whether two runs have the same transcripts, and where not."""
        comparison = await self.comparisons.compare(
            request.before_test_run_id, request.after_test_run_id, request.max_differences
        )
        return comparison_to_proto(comparison)
