"""OpenAI's client at `/v1/files` and `/v1/fine_tuning`, in front of a made-up training."""

import json
import time
from typing import Any

import openai
import pytest

from tests.fakes.system.services import BASE
from tests.integration.gateway_routes.conftest import Front
from tests.machine import PATIENCE_SECONDS

ASK = {"role": "user", "content": "What is 17 + 26?"}
CHAT = {"messages": [ASK, {"role": "assistant", "content": "43"}]}
PAIR = {
    "input": {"messages": [ASK]},
    "preferred_output": [{"role": "assistant", "content": "43"}],
    "non_preferred_output": [{"role": "assistant", "content": "42"}],
}


def _file(front: Front, *rows: Any) -> Any:
    lines = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    return front.openai.files.create(file=("mine.jsonl", lines.encode()), purpose="fine-tune")


def _job(front: Front, **more: Any) -> Any:
    return front.openai.fine_tuning.jobs.create(**{"model": BASE, **more})


def _cancelled(front: Front, job_id: str) -> Any:
    """Cancel a job, which would stand for ever, and return it once it has ended."""
    front.openai.fine_tuning.jobs.cancel(job_id)
    end = time.monotonic() + PATIENCE_SECONDS
    while (job := front.openai.fine_tuning.jobs.retrieve(job_id)).finished_at is None:
        assert time.monotonic() < end, f"the job is {job.status}"
        time.sleep(0.05)
    return job


@pytest.mark.parametrize("row", [CHAT, PAIR])
def test_a_file_comes_back_is_listed_and_goes(front: Front, row: dict[str, Any]) -> None:
    file = _file(front, row)
    assert (file.filename, file.purpose, file.id[:5]) == ("mine.jsonl", "fine-tune", "file-")
    assert [json.loads(line) for line in front.openai.files.content(file.id).text.splitlines()] == [row]
    other = _file(front, row)
    assert front.openai.files.list(limit=1).data[0].id == other.id
    assert front.openai.files.list(after=other.id, limit=1).data[0].id == file.id
    assert not front.openai.files.list(purpose="assistants").data
    assert front.openai.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        front.openai.files.retrieve(file.id)


def test_a_file_that_a_job_has_read_stays(front: Front) -> None:
    file = _file(front, CHAT)
    job = _job(front, training_file=file.id)
    with pytest.raises(openai.BadRequestError, match=f"is used by the training job {job.id}"):
        front.openai.files.delete(file.id)
    ended = _cancelled(front, job.id)
    assert (ended.status, ended.training_file, ended.fine_tuned_model) == ("cancelled", file.id, None)


def test_each_wrong_line_of_a_file_is_named(front: Front) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        _file(front, CHAT, "{", {"messages": [ASK]}, {"messages": [ASK], "case": {}, "profile_id": "text"}, CHAT)
    body: Any = caught.value.body
    assert (body["param"], body["code"]) == ("file", "invalid_jsonl")
    assert all(part in body["message"] for part in ("Line 2 ", "Line 3 has no messages", "Line 4 holds no case"))


def test_jobs_and_their_events_are_paged(front: Front) -> None:
    file = _file(front, CHAT)
    older, newer = [_job(front, training_file=file.id, seed=seed).id for seed in (1, 2)]
    jobs = front.openai.fine_tuning.jobs
    assert [job.id for job in jobs.list(limit=2).data] == [newer, older]
    assert jobs.list(after=newer, limit=1).data[0].id == older
    _cancelled(front, newer)
    _cancelled(front, older)
    events = list(jobs.list_events(older, limit=3))
    assert [int(event.id.rpartition("-")[2]) for event in events] == list(range(len(events), 0, -1))
    assert events[0].message == "The job is cancelled." and len(events) > 3
    with pytest.raises(openai.BadRequestError, match="no event"):
        jobs.list_events(older, after=f"ftevent-{newer}-1")


def test_a_key_that_was_used_gives_the_job_that_it_made(front: Front) -> None:
    file = _file(front, CHAT)
    first, again = [_job(front, training_file=file.id, extra_headers={"Idempotency-Key": file.id}) for _ in range(2)]
    assert first.id == again.id
    _cancelled(front, first.id)


_GRADED = {"type": "reinforcement", "reinforcement": {"grader": {"type": "string_check", "name": "x"}}}


@pytest.mark.parametrize(
    ("more", "param", "code", "said"),
    [
        ({"model": "nosuch"}, "model", "model_not_found", "nosuch"),
        ({"training_file": "file-nosuch"}, "training_file", "file_not_found", "file-nosuch"),
        ({"suffix": "no good"}, "suffix", "invalid_value", "pattern"),
        ({"extra_body": {"n_epoch": 3}}, "n_epoch", "unknown_parameter", "n_epoch"),
        ({"metadata": {"a": "b"}}, "metadata", "invalid_value", "not built"),
        ({"validation_file": "file-x"}, "validation_file", "file_not_found", "file-x"),
        ({"integrations": [{"type": "wandb"}]}, "integrations", "invalid_value", "not built"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "invalid_value", "greater"),
        ({"method": _GRADED}, "method.reinforcement.grader.type", "invalid_value", "string_check is not built"),
        ({"method": {"type": "reinforcement"}}, "method", "invalid_value", "needs a grader"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(
    front: Front, more: dict[str, Any], param: str, code: str, said: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        _job(front, **{"training_file": front.system.names["DATASET"], **more})
    body: Any = caught.value.body
    assert (body["param"], body["code"], body["type"]) == (param, code, "invalid_request_error")
    assert said in body["message"]


def test_other_purposes_and_filters_are_refused_by_name(front: Front) -> None:
    with pytest.raises(openai.BadRequestError, match="vision"):
        front.openai.files.create(file=("a", b"{}"), purpose="vision")
    with pytest.raises(openai.BadRequestError, match="Unknown parameter"):
        front.openai.fine_tuning.jobs.list(metadata={"a": "b"})
    with pytest.raises(openai.BadRequestError) as caught:
        front.openai.fine_tuning.jobs.list(limit=0)
    assert caught.value.param == "limit"
