"""The RPCs of a kind of job, made from its resource."""

from collections.abc import Sequence

from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2 as pb

from services.chassis.jobs import Job, JobResource
from services.chassis.jobs.convert import ResourceRpcs, job_to_proto
from tests.unit.chassis.jobs.memory_store import MemoryJobStore


def run_to_proto(job: Job) -> pb.TestRun:
    return pb.TestRun(test_run_id=job.job_id, job=job_to_proto(job))


async def load(jobs: Sequence[Job]) -> list[Job]:
    return list(jobs)


_rpcs = ResourceRpcs(lambda servicer: servicer.runs, run_to_proto)


class Servicer:
    GetTestRun = _rpcs.get(pb.GetTestRunResponse)
    ListTestRuns = _rpcs.list(pb.ListTestRunsResponse)
    DeleteTestRun = _rpcs.delete(pb.DeleteTestRunResponse)
    CancelTestRun = _rpcs.cancel(pb.CancelTestRunResponse)
    PauseTestRun = _rpcs.pause(pb.PauseTestRunResponse)
    ResumeTestRun = _rpcs.resume(pb.ResumeTestRunResponse)
    WatchTestRun = _rpcs.watch(pb.WatchTestRunResponse)

    def __init__(self, jobs: MemoryJobStore) -> None:
        self.runs = JobResource(jobs, "test_run", "test run", load)


async def test_a_servicer_answers_for_its_jobs() -> None:
    jobs = MemoryJobStore()
    servicer = Servicer(jobs)
    ids = [(await jobs.create("test_run", f"r{number}", {})).job_id for number in range(2)]
    paused = await servicer.PauseTestRun(pb.PauseTestRunRequest(test_run_id=ids[0]), None)
    resumed = await servicer.ResumeTestRun(pb.ResumeTestRunRequest(test_run_id=ids[0]), None)
    cancelled = await servicer.CancelTestRun(pb.CancelTestRunRequest(test_run_id=ids[0]), None)
    states = [response.test_run.job.state for response in (paused, resumed, cancelled)]
    assert states == [job_pb2.JOB_STATE_PAUSED, job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_CANCELLED]
    shown = await servicer.GetTestRun(pb.GetTestRunRequest(test_run_id=ids[0]), None)
    assert shown.test_run == cancelled.test_run
    first = await servicer.ListTestRuns(pb.ListTestRunsRequest(page_size=1), None)
    second = await servicer.ListTestRuns(pb.ListTestRunsRequest(page_size=1, page_token=first.next_page_token), None)
    assert [run.test_run_id for run in (*first.test_runs, *second.test_runs)] == ids[::-1]
    request = pb.WatchTestRunRequest(test_run_id=ids[0], after_sequence=1)
    sequences = [response.event.sequence async for response in servicer.WatchTestRun(request, None)]
    assert sequences == list(range(2, shown.test_run.job.last_sequence + 1))
    await servicer.DeleteTestRun(pb.DeleteTestRunRequest(test_run_id=ids[0]), None)
    rest = await servicer.ListTestRuns(pb.ListTestRunsRequest(), None)
    assert [run.test_run_id for run in rest.test_runs] == ids[1:]
