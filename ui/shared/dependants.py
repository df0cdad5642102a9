"""What refers to a run, an evaluation, a training job or a version: while something does, it is not deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

from drillyard.feedback.v1.loop_pb2 import ListLoopsRequest
from drillyard.feedback.v1.schedule_pb2 import ListSchedulesRequest
from drillyard.feedback.v1.shipment_pb2 import ListShipmentsRequest
from drillyard.test_runner.v1.test_run_pb2 import ListTestRunsRequest, TestRun
from drillyard.trainer.v1.training_job_pb2 import ListTrainingJobsRequest
from google.protobuf.message import Message

from services.chassis.errors import FailedPrecondition
from ui.gateway.clients import Clients, every
from ui.shared.jobs import job_view

_EVERYTHING = 10_000_000
_NUM_NAMED = 5


async def refuse_if_used(clients: Clients, ids: Collection[str]) -> None:
    """Return when no run, training job, loop, schedule or shipment refers to one of these things.

    Raises:
        FailedPrecondition: Some do; the error names the first ones.
    """
    names = [f"the {noun} {user_id}" async for noun, user_id, used in _users(clients) if used & set(ids)]
    if names:
        more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
        raise FailedPrecondition(
            f"{' or '.join(ids)} is used by {', '.join(names[:_NUM_NAMED])}{more}.", "Delete these first."
        )


async def ids_in_use(clients: Clients) -> set[str]:
    """Return the ids of all that a run, a training job, a loop, a schedule or a shipment refers to."""
    return {used_id async for _, _, used in _users(clients) for used_id in used}


def deleting(rpc_of: Callable[[Clients], Any]) -> Callable[[Clients, Message], Awaitable[Message]]:
    """Return an action that deletes what its request names, unless something refers to it; `rpc_of` has the RPC."""

    async def delete(clients: Clients, request: Message) -> Message:
        await refuse_if_used(clients, [value for _, value in request.ListFields()])
        response: Message = await rpc_of(clients)(request)
        return response

    return delete


async def _users(clients: Clients) -> AsyncIterator[tuple[str, str, set[str]]]:
    """Yield each run, training job, loop, schedule and shipment: its noun, its id, and the ids of what it refers to."""
    for run in await every(clients.test_runner.ListTestRuns, ListTestRunsRequest(), "test_runs", _EVERYTHING):
        used = {run.spec.model_version_id, run.spec.test_suite_version_id}
        yield "test run", run.test_run_id, used | _repeated(run)
    training = ListTrainingJobsRequest()
    for job in await every(clients.trainer.ListTrainingJobs, training, "training_jobs", _EVERYTHING):
        yield (
            "training job",
            job.training_job_id,
            {
                *(job.spec.model_version_id, job.spec.dataset_version_id, job.spec.validation_dataset_version_id),
            }
            - {""},
        )
    for loop in await every(clients.feedback.ListLoops, ListLoopsRequest(), "loops", _EVERYTHING):
        readings = [reading for item in loop.rounds for reading in item.guardrail_readings]
        yield "loop", loop.loop_id, _ids_in(loop.spec, *loop.spec.guardrails, *loop.rounds, *readings)
    planned = ListSchedulesRequest()
    for schedule in await every(clients.feedback.ListSchedules, planned, "schedules", _EVERYTHING):
        guardrails = schedule.spec.loop.guardrails
        yield "schedule", schedule.schedule_id, _ids_in(schedule.spec, schedule.spec.loop, *guardrails)
    request = ListShipmentsRequest()
    for shipment in await every(clients.feedback.ListShipments, request, "shipments", _EVERYTHING):
        # What has ended reads nothing any more.
        if not job_view(shipment.job).is_final:
            yield "shipment", shipment.shipment_id, _ids_in(shipment.spec, shipment)


def _repeated(run: TestRun) -> set[str]:
    """Return the run whose answers this one takes over until it has ended."""
    return set() if job_view(run.job).is_final else {run.spec.repeat_of_test_run_id} - {""}


def _ids_in(*messages: Message) -> set[str]:
    return {value for message in messages for field, value in message.ListFields() if field.name.endswith("_id")}
