"""What is referred to is not deleted; what refers to it is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from drillyard.evaluator.v1.evaluation_pb2 import (
    DeleteEvaluationRequest,
    DeleteEvaluationResponse,
    Evaluation,
    ListEvaluationsResponse,
)
from drillyard.feedback.v1.loop_goal_pb2 import Guardrail, GuardrailReading
from drillyard.feedback.v1.loop_pb2 import ListLoopsResponse, Loop, LoopSpec, Round
from drillyard.feedback.v1.schedule_pb2 import ListSchedulesResponse, Schedule, ScheduleSpec
from drillyard.feedback.v1.shipment_pb2 import ListShipmentsResponse, Shipment, ShipmentSpec
from drillyard.job.v1.job_pb2 import JOB_STATE_QUEUED, JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, Job
from drillyard.test_runner.v1.test_run_pb2 import (
    DeleteTestRunRequest,
    DeleteTestRunResponse,
    GetTestRunResponse,
    ListTestRunsResponse,
    TestRun,
    TestRunSpec,
)
from drillyard.trainer.v1.training_job_pb2 import ListTrainingJobsResponse, TrainingJob
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from services.chassis.errors import FailedPrecondition
from ui.gateway.clients import Clients
from ui.shared.dependants import refuse_if_used
from ui.test_runs.actions import delete_test_run

RUN = TestRun(
    test_run_id="run-1",
    spec=TestRunSpec(model_version_id="m@1", test_suite_version_id="s@1"),
    job=Job(state=JOB_STATE_SUCCEEDED),
)
JOB = TrainingJob(training_job_id="train-1", spec=TrainingJobSpec(model_version_id="m@1", dataset_version_id="d@1"))
LOOP = Loop(
    loop_id="loop-1",
    spec=LoopSpec(model_version_id="m@2", guardrails=[Guardrail(test_suite_version_id="s@2")]),
    rounds=[
        Round(
            test_run_id="run-2", dataset_version_id="d@2", guardrail_readings=[GuardrailReading(evaluation_id="eval-2")]
        )
    ],
)
SCHEDULE = Schedule(
    schedule_id="nightly",
    spec=ScheduleSpec(
        model_version_id="m@5",
        test_suite_version_id="s@5",
        loop=LoopSpec(guardrails=[Guardrail(test_suite_version_id="s@6")]),
    ),
)

SHIPMENTS = [
    Shipment(shipment_id=name, spec=ShipmentSpec(model_version_id=name), job=Job(state=state))
    for name, state in (("m@4", JOB_STATE_RUNNING), ("m@3", JOB_STATE_SUCCEEDED))
]
SHIPMENTS[0].base_form_model_version_id = "base-gguf@1"


def clients(run: TestRun = RUN) -> tuple[Clients, list[str]]:
    """Return services that hold one of each, and the ids of what was deleted, in order."""
    deleted: list[str] = []

    def answering(response: Any) -> Any:
        async def answer(request: Any) -> Any:
            if isinstance(request, DeleteTestRunRequest | DeleteEvaluationRequest):
                deleted.append(next(value for _, value in request.ListFields()))
            return response

        return answer

    judged = ListEvaluationsResponse(evaluations=[Evaluation(evaluation_id="eval-1")])
    services = SimpleNamespace(
        test_runner=SimpleNamespace(
            ListTestRuns=answering(ListTestRunsResponse(test_runs=[run])),
            GetTestRun=answering(GetTestRunResponse(test_run=run)),
            DeleteTestRun=answering(DeleteTestRunResponse()),
        ),
        evaluator=SimpleNamespace(
            ListEvaluations=answering(judged), DeleteEvaluation=answering(DeleteEvaluationResponse())
        ),
        trainer=SimpleNamespace(ListTrainingJobs=answering(ListTrainingJobsResponse(training_jobs=[JOB]))),
        feedback=SimpleNamespace(
            ListLoops=answering(ListLoopsResponse(loops=[LOOP])),
            ListSchedules=answering(ListSchedulesResponse(schedules=[SCHEDULE])),
            ListShipments=answering(ListShipmentsResponse(shipments=SHIPMENTS)),
        ),
    )
    return cast(Clients, services), deleted


@pytest.mark.parametrize(
    ("used", "names"),
    [
        ("m@1", "the test run run-1, the training job train-1"),
        ("s@1", "the test run run-1"),
        ("d@1", "the training job train-1"),
        ("m@2", "the loop loop-1"),
        ("d@2", "the loop loop-1"),
        ("run-2", "the loop loop-1"),
        ("s@2", "the loop loop-1"),
        ("eval-2", "the loop loop-1"),
        ("m@4", "the shipment m@4"),
        ("base-gguf@1", "the shipment m@4"),
        ("m@5", "the schedule nightly"),
        ("s@5", "the schedule nightly"),
        ("s@6", "the schedule nightly"),
    ],
)
async def test_what_refers_to_a_thing_is_named(used: str, names: str) -> None:
    with pytest.raises(FailedPrecondition, match=f"{used} is used by {names}\\."):
        await refuse_if_used(clients()[0], [used])
    await refuse_if_used(clients()[0], ["m@3"])


async def test_a_run_goes_with_its_evaluations() -> None:
    services, deleted = clients()
    await delete_test_run(services, DeleteTestRunRequest(test_run_id="run-1"))
    assert deleted == ["eval-1", "run-1"]


async def test_the_evaluations_of_a_run_that_is_going_stay() -> None:
    going = TestRun(test_run_id="run-1", job=Job(state=JOB_STATE_RUNNING))
    services, deleted = clients(going)
    await delete_test_run(services, DeleteTestRunRequest(test_run_id="run-1"))
    assert deleted == ["run-1"], "the service itself refuses this"


async def test_a_run_that_a_loop_refers_to_stays() -> None:
    services, deleted = clients()
    with pytest.raises(FailedPrecondition, match="loop-1"):
        await delete_test_run(services, DeleteTestRunRequest(test_run_id="run-2"))
    assert deleted == []


async def test_a_run_stays_until_the_run_that_takes_over_its_answers_has_ended() -> None:
    finishing = TestRun(
        test_run_id="run-3",
        spec=TestRunSpec(repeat_of_test_run_id="run-1", keep_answers=True),
        job=Job(state=JOB_STATE_QUEUED),
    )
    with pytest.raises(FailedPrecondition, match="run-3"):
        await refuse_if_used(clients(finishing)[0], ["run-1"])
    finishing.job.state = JOB_STATE_SUCCEEDED
    await refuse_if_used(clients(finishing)[0], ["run-1"])
