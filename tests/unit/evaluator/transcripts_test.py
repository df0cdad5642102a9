"""Transcripts from the wire: answers are found by their turns, or, in older ones, at the end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import (
    comparison_pb2,
    provenance_pb2,
    test_run_pb2,
    test_runner_service_pb2_grpc,
    transcript_pb2,
)

from services.chassis.errors import Busy, FailedPrecondition, ServiceError, TooLarge
from services.evaluator.clients.test_runner import TestRunnerClient
from services.evaluator.clients.transcript import to_transcript
from services.evaluator.domain.verdict import Spent
from services.evaluator.ports import AnswerEnd, GivenAnswer
from services.protocols.turn import ToolCall

STOP, LENGTH = transcript_pb2.FINISH_REASON_STOP, transcript_pb2.FINISH_REASON_LENGTH
OVERFLOW = transcript_pb2.FINISH_REASON_CONTEXT_OVERFLOW


def messages(*said: tuple[str, str]) -> list[transcript_pb2.Message]:
    return [transcript_pb2.Message(role=role, content=content) for role, content in said]


def test_an_older_transcript_has_one_answer_its_last_message() -> None:
    message = transcript_pb2.Transcript(
        sequence=3,
        transcript_id="t-3",
        case_id="c",
        repeat=1,
        messages=messages(("user", "do it"), ("assistant", "done")),
        token_ids=[1, 2, 3],
        finish_reason=LENGTH,
        num_prompt_tokens=40,
        num_cached_tokens=30,
        prefill_seconds=0.5,
        decode_seconds=1.5,
    )
    found = to_transcript(message)
    assert (found.sequence, found.transcript_id, found.case_id, found.repeat) == (3, "t-3", "c", 1)
    assert found.answers == (GivenAnswer("done", AnswerEnd.LENGTH, num_prompt_tokens=40),)
    assert found.spent == Spent(40, 30, 3, 2.0, 1.5)


def test_answers_stand_where_the_turns_say_with_their_native_calls() -> None:
    said = messages(("user", "do it"), ("assistant", "reading"), ("tool", "text"), ("assistant", "done"))
    said[1].tool_calls.add(tool_call_id="call_1", name="read_file", arguments='{"path": "a"}')
    said[2].tool_call_id = "call_1"
    turns = [
        transcript_pb2.AnswerTurn(
            message_index=1, finish_reason=STOP, num_prompt_tokens=10, num_cached_tokens=2, num_generated_tokens=4
        ),
        transcript_pb2.AnswerTurn(message_index=3, finish_reason=LENGTH, num_prompt_tokens=20, token_ids=[5, 6]),
    ]
    found = to_transcript(transcript_pb2.Transcript(messages=said, turns=turns))
    call = ToolCall("read_file", '{"path": "a"}', "call_1")
    assert found.answers == (
        GivenAnswer("reading", AnswerEnd.STOP, (call,), 10),
        GivenAnswer("done", AnswerEnd.LENGTH, (), 20),
    )
    assert (found.spent.num_prompt_tokens, found.spent.num_cached_tokens, found.spent.num_generated_tokens) == (
        30,
        2,
        6,
    )
    assert found.messages[1]["tool_calls"][0]["function"]["name"] == "read_file"
    assert found.messages[2]["tool_call_id"] == "call_1"


def test_a_turn_without_an_answer_needs_no_message() -> None:
    turn = transcript_pb2.AnswerTurn(
        message_index=7, finish_reason=OVERFLOW, num_prompt_tokens=9000, detail="Too long for 8192."
    )
    found = to_transcript(transcript_pb2.Transcript(messages=messages(("user", "do it")), turns=[turn]))
    assert found.answers == (GivenAnswer("", AnswerEnd.CONTEXT_OVERFLOW, (), 9000, "Too long for 8192."),)


@pytest.mark.parametrize(
    "turn",
    [
        transcript_pb2.AnswerTurn(message_index=1, finish_reason=STOP),
        transcript_pb2.AnswerTurn(message_index=-1, finish_reason=STOP),
        transcript_pb2.AnswerTurn(message_index=0),
    ],
)
def test_a_transcript_that_contradicts_itself_is_named(turn: transcript_pb2.AnswerTurn) -> None:
    message = transcript_pb2.Transcript(transcript_id="t-9", messages=messages(("assistant", "done")), turns=[turn])
    with pytest.raises(FailedPrecondition, match="t-9"):
        to_transcript(message)


class Stub:
    """A test runner whose messages hold no more than so many transcripts."""

    def __init__(self, most: int, refusal: ServiceError | None = None) -> None:
        self.most = most
        self.refusal = refusal or TooLarge("The message is too large.", "Ask for less.")
        self.sizes: list[int] = []

    async def ListTranscripts(
        self, request: transcript_pb2.ListTranscriptsRequest
    ) -> transcript_pb2.ListTranscriptsResponse:
        self.sizes.append(request.page_size)
        if request.page_size > self.most:
            raise self.refusal
        one = transcript_pb2.Transcript(messages=messages(("assistant", "done")), finish_reason=STOP)
        return transcript_pb2.ListTranscriptsResponse(transcripts=[one] * request.page_size)

    async def GetTestRun(self, request: test_run_pb2.GetTestRunRequest) -> test_run_pb2.GetTestRunResponse:
        endpoint = test_run_pb2.Endpoint(base_url="u", model="m", tool_mode=test_run_pb2.TOOL_MODE_PROMPT, stop=["x"])
        spec = test_run_pb2.TestRunSpec(endpoint=endpoint, throughput=True, sampling=test_run_pb2.Sampling(min_p=0.1))
        provenance = provenance_pb2.Provenance(chat_template_digest="sha256:t", dtype="q4_1", endpoint={"server": "x"})
        job = job_pb2.Job(state=job_pb2.JOB_STATE_RUNNING)
        return test_run_pb2.GetTestRunResponse(test_run=test_run_pb2.TestRun(spec=spec, provenance=provenance, job=job))

    async def CompareTestRuns(
        self, request: comparison_pb2.CompareTestRunsRequest, **_options: float
    ) -> comparison_pb2.CompareTestRunsResponse:
        one = comparison_pb2.TranscriptDifference(case_id="c", repeat=1, field="token_ids", turn=2, token_index=3)
        return comparison_pb2.CompareTestRunsResponse(num_compared=5, num_equal_answers=4, differences=[one])


def client(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> TestRunnerClient:
    monkeypatch.setattr(test_runner_service_pb2_grpc, "TestRunnerServiceStub", lambda _: stub)
    return TestRunnerClient(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("most", "sizes"), [(200, [200]), (60, [200, 50]), (1, [200, 50, 12, 3, 1])])
async def test_long_conversations_are_asked_for_in_smaller_pages(
    most: int, sizes: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = Stub(most)
    assert len(await client(stub, monkeypatch).list_transcripts("run-1", 0)) == sizes[-1]
    assert stub.sizes == sizes


async def test_a_transcript_that_fits_no_message_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLarge):
        await client(Stub(0), monkeypatch).list_transcripts("run-1", 0)


async def test_a_busy_test_runner_gets_no_smaller_requests_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub(0, Busy("As many calls as may run are running."))
    with pytest.raises(Busy):
        await client(stub, monkeypatch).list_transcripts("run-1", 0)
    assert stub.sizes == [200]


async def test_a_run_tells_its_endpoint_and_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await client(Stub(1), monkeypatch).get_run("run-1")
    assert run.subject.endpoint is not None
    assert (run.subject.endpoint.tool_mode, run.subject.endpoint.stop) == ("prompt", ("x",))
    assert (run.subject.throughput, run.subject.sampling.min_p) == (True, 0.1)
    assert (run.provenance.dtype, run.provenance.chat_template_digest) == ("q4_1", "sha256:t")
    assert run.provenance.endpoint == {"server": "x"}


async def test_differences_of_two_runs_come_from_the_test_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await client(Stub(1), monkeypatch).compare("run-1", "run-2")
    assert (found.num_compared, found.num_equal_answers) == (5, 4)
    assert (found.differences[0].field, found.differences[0].turn, found.differences[0].token_index) == (
        "token_ids",
        2,
        3,
    )
