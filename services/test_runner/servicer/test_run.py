"""RPCs of test runs."""

from operator import attrgetter

from drillyard.test_runner.v1 import comparison_pb2, test_run_pb2

from services.chassis.calls import Context
from services.chassis.jobs.convert import JobRpcs
from services.test_runner.convert.test_run import comparison_to_proto, spec_from_proto, test_run_to_proto
from services.test_runner.usecases.comparison import ComparisonUseCases
from services.test_runner.usecases.test_run import TestRunUseCases

_rpcs = JobRpcs(attrgetter("runs.resource"), test_run_to_proto)


class TestRunRpcs:
    """Create, get, list, cancel, pause, resume, watch and compare."""

    runs: TestRunUseCases
    comparisons: ComparisonUseCases
    GetTestRun = _rpcs.get(test_run_pb2.GetTestRunResponse)
    ListTestRuns = _rpcs.list(test_run_pb2.ListTestRunsResponse)
    DeleteTestRun = _rpcs.delete(test_run_pb2.DeleteTestRunResponse)
    CancelTestRun = _rpcs.cancel(test_run_pb2.CancelTestRunResponse)
    PauseTestRun = _rpcs.pause(test_run_pb2.PauseTestRunResponse)
    ResumeTestRun = _rpcs.resume(test_run_pb2.ResumeTestRunResponse)
    WatchTestRun = _rpcs.watch(test_run_pb2.WatchTestRunResponse)

    async def CreateTestRun(
        self, request: test_run_pb2.CreateTestRunRequest, context: Context
    ) -> test_run_pb2.CreateTestRunResponse:
        """Start a run."""
        run = await self.runs.create(request.request_id, spec_from_proto(request.spec))
        return test_run_pb2.CreateTestRunResponse(test_run=test_run_to_proto(run))

    async def CompareTestRuns(
        self, request: comparison_pb2.CompareTestRunsRequest, context: Context
    ) -> comparison_pb2.CompareTestRunsResponse:
        """Say whether two runs have the same transcripts, and where not."""
        comparison = await self.comparisons.compare(
            request.before_test_run_id, request.after_test_run_id, request.max_differences
        )
        return comparison_to_proto(comparison)
