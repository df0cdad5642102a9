from datetime import UTC, datetime

import pytest
from drillyard.job.v1 import job_pb2
from google.protobuf.json_format import MessageToDict

from services.chassis.jobs import Job, JobError, JobEvent, JobState
from services.chassis.jobs.convert import event_to_proto, job_to_proto
from ui.shared.jobs import FINAL_STATES

NOW = datetime(2026, 11, 22, 12, 30, 0, 250_000, tzinfo=UTC)


def a_job(state: JobState = JobState.RUNNING, **changes: object) -> Job:
    fields: dict[str, object] = {
        "job_id": "j1",
        "kind": "test_run",
        "state": state,
        "request_id": "r1",
        "spec": {"secret": "inside"},
        "create_time": NOW,
        "update_time": NOW,
    }
    return Job(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("state", list(JobState))
def test_every_state_has_its_name_on_the_wire(state: JobState) -> None:
    assert job_pb2.JobState.Name(job_to_proto(a_job(state)).state) == f"JOB_STATE_{state}"


def test_a_job_shows_its_progress_error_and_times_and_not_its_spec() -> None:
    progress = {"phase": "generate", "done": 3, "total": 9, "unit": "cases", "message": "Three of nine."}
    message = job_to_proto(
        a_job(
            progress=progress, error=JobError("NOT_FOUND", "No model.", "Import it."), attempt=2, last_sequence=7,
            start_time=NOW, end_time=NOW,
        )
    )  # fmt: skip
    assert (message.progress.phase, message.progress.num_done, message.progress.num_total) == ("generate", 3, 9)
    assert (message.error.code, message.error.problem, message.error.next_step) == (
        "NOT_FOUND",
        "No model.",
        "Import it.",
    )
    assert (message.attempt, message.last_sequence, message.request_id) == (2, 7, "r1")
    assert message.start_time.ToDatetime(tzinfo=UTC) == message.end_time.ToDatetime(tzinfo=UTC) == NOW
    assert b"inside" not in message.SerializeToString()


def test_what_has_not_happened_is_not_set() -> None:
    message = job_to_proto(a_job(JobState.QUEUED, request_id="once:j1"))
    assert not message.HasField("error")
    assert not message.HasField("start_time")
    assert not message.HasField("end_time")
    assert message.request_id == ""
    assert message.progress == job_pb2.JobProgress()


def test_an_event_carries_its_payload() -> None:
    payload = {"n": 3, "nested": {"list": [1, None, "x"]}, "loss": 0.25}
    message = event_to_proto(JobEvent("j1", 4, NOW, "point", payload))
    assert (message.job_id, message.sequence, message.type) == ("j1", 4, "point")
    assert MessageToDict(message.payload) == payload
    assert message.event_time.ToDatetime(tzinfo=UTC) == NOW


def test_the_contract_names_the_states_that_never_change_again() -> None:
    final = {state for state in JobState if state.is_final}
    assert {name.removeprefix("JOB_STATE_") for name in FINAL_STATES} == final
