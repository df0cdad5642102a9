from datetime import UTC, datetime

import pytest
from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1 import training_job_pb2

from services.chassis.jobs import Job, JobError, JobEvent, JobState, Json
from services.chassis.jobs.convert import job_to_proto, watch_response
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


def response_of(type_: str, payload: Json) -> training_job_pb2.WatchTrainingJobResponse:
    return watch_response(training_job_pb2.WatchTrainingJobResponse, JobEvent("j1", 4, NOW, type_, payload))


def test_an_event_that_all_jobs_have_is_told_in_its_own_field() -> None:
    event = response_of("progress", {"phase": "train", "done": 3, "total": 9}).event
    assert (event.job_id, event.sequence, event.type) == ("j1", 4, "progress")
    assert event.event_time.ToDatetime(tzinfo=UTC) == NOW
    assert event.progress == job_pb2.JobProgress(phase="train", num_done=3, num_total=9)
    assert response_of("message", {"text": "It waits."}).event.message.text == "It waits."
    assert response_of("attempt", {"attempt": 2, "epoch": 5}).event.attempt == job_pb2.JobHold(attempt=2, epoch=5)


@pytest.mark.parametrize(
    ("payload", "change"),
    [
        ({"state": "QUEUED"}, job_pb2.StateChange(state=job_pb2.JOB_STATE_QUEUED)),
        (
            {"state": "RUNNING", "attempt": 1, "epoch": 2},
            job_pb2.StateChange(state=job_pb2.JOB_STATE_RUNNING, hold=job_pb2.JobHold(attempt=1, epoch=2)),
        ),
        (
            {"state": "FAILED", "code": "NOT_FOUND", "problem": "No model.", "next_step": "Import it."},
            job_pb2.StateChange(
                state=job_pb2.JOB_STATE_FAILED,
                error=job_pb2.JobError(code="NOT_FOUND", problem="No model.", next_step="Import it."),
            ),
        ),
    ],
)
def test_a_change_of_state_is_told_with_its_hold_or_its_error(payload: Json, change: job_pb2.StateChange) -> None:
    assert response_of("state", payload).event.state == change


def test_what_one_kind_of_job_tells_stands_beside_the_event() -> None:
    response = response_of("point", {"metric": "loss", "step": 10, "value": 0.25, "attempt": 1})
    assert (response.point.metric, response.point.step, response.point.value) == ("loss", 10, 0.25)
    assert response.event.WhichOneof("content") is None
    ended = response_of("attempt_end", {"attempt": 1, "outcome": "stopped", "reason": "", "of_a_later_release": [1]})
    assert ended.attempt_end.outcome == training_job_pb2.ATTEMPT_OUTCOME_STOPPED


def test_an_event_of_another_release_keeps_its_place_in_the_history() -> None:
    response = response_of("of_a_later_release", {"n": 3})
    assert (response.event.sequence, response.event.type) == (4, "of_a_later_release")


def test_the_contract_names_the_states_that_never_change_again() -> None:
    final = {state for state in JobState if state.is_final}
    assert {name.removeprefix("JOB_STATE_") for name in FINAL_STATES} == final
