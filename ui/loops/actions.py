"""Reading improvement loops together with the jobs that they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from drillyard.evaluator.v1 import evaluation_pb2
from drillyard.feedback.v1 import loop_pb2
from drillyard.feedback.v1.loop_pb2 import Loop
from drillyard.job.v1.job_pb2 import Job
from drillyard.registry.v1 import export_pb2
from drillyard.test_runner.v1 import test_run_pb2
from drillyard.trainer.v1 import training_job_pb2

from services.chassis.errors import NotFound
from ui.gateway.clients import Clients
from ui.loops.views import LoopProgress, guardrail_id, loop_progress_view, trial_id
from ui.shared.jobs import JobView, job_view

NUM_RECENT = 20
ReadJob = Callable[[Clients, str], Awaitable[Job]]


async def read_loop(clients: Clients, loop_id: str) -> Loop:
    """Return a loop.

    Raises:
        NotFound: There is no such loop.
    """
    return (await clients.feedback.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id))).loop


async def loop_progress(clients: Clients, loop_id: str) -> LoopProgress:
    """Return how far a loop has come, with the jobs of its steps."""
    loop = await read_loop(clients, loop_id)
    request = [
        (getattr(loop_round, field), read)
        for loop_round in loop.rounds
        for field, read in _JOB_OF_STEP.items()
        if getattr(loop_round, field)
    ]
    request += [(guardrail_id(loop_round), _evaluation) for loop_round in loop.rounds if guardrail_id(loop_round)]
    request += [(trial_id(loop_round), _training_job) for loop_round in loop.rounds if trial_id(loop_round)]
    jobs = await asyncio.gather(*(_job(read, clients, resource_id) for resource_id, read in request))
    views = {resource_id: job for (resource_id, _), job in zip(request, jobs, strict=True) if job}
    return loop_progress_view(loop, views)


async def recent_loops(clients: Clients) -> list[LoopProgress]:
    """Return the newest loops without the jobs of their steps."""
    listed = await clients.feedback.ListLoops(loop_pb2.ListLoopsRequest(page_size=NUM_RECENT))
    return [loop_progress_view(loop, {}) for loop in listed.loops]


async def _job(read: ReadJob, clients: Clients, resource_id: str) -> JobView | None:
    try:
        return job_view(await read(clients, resource_id))
    except NotFound:
        return None


async def _test_run(clients: Clients, resource_id: str) -> Job:
    request = test_run_pb2.GetTestRunRequest(test_run_id=resource_id)
    return (await clients.test_runner.GetTestRun(request)).test_run.job


async def _export(clients: Clients, resource_id: str) -> Job:
    return (await clients.registry.GetExport(export_pb2.GetExportRequest(export_id=resource_id))).export.job


async def _evaluation(clients: Clients, resource_id: str) -> Job:
    request = evaluation_pb2.GetEvaluationRequest(evaluation_id=resource_id)
    return (await clients.evaluator.GetEvaluation(request)).evaluation.job


async def _training_job(clients: Clients, resource_id: str) -> Job:
    request = training_job_pb2.GetTrainingJobRequest(training_job_id=resource_id)
    return (await clients.trainer.GetTrainingJob(request)).training_job.job


_JOB_OF_STEP: dict[str, ReadJob] = {
    "export_id": _export,
    "test_run_id": _test_run,
    "evaluation_id": _evaluation,
    "probe_test_run_id": _test_run,
    "probe_evaluation_id": _evaluation,
    "sample_test_run_id": _test_run,
    "sample_evaluation_id": _evaluation,
    "training_job_id": _training_job,
}
