"""Servers that cannot bear all that is asked at once, and prompts that they cannot take at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.chassis.errors import Busy
from services.test_runner.backends.fair_queue import FairQueue, QueueLimits
from services.test_runner.domain.transcript import FinishReason, Message
from services.test_runner.ports.generation import Prompt
from tests.fakes.endpoint import (
    FakeEndpoint,
    Request,
    begin_stream,
    chunk,
    event,
    refuses,
    running,
    says,
    send,
    streams,
    writes,
)
from tests.unit.test_runner.endpoints.asking import answer_of, answers_of

PROMPTS = tuple(Prompt(f"p{number}", (Message("user", "task"),), number, timeout_seconds=20.0) for number in range(6))
SHARED = {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}


class SharedContext:
    """A server whose slots share one context, which holds so many requests; all others fail together."""

    def __init__(self, most: int, *, streamed: bool) -> None:
        self.most, self.streamed = most, streamed
        self.server = FakeEndpoint([])

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        is_too_much = self.server.num_inside > self.most
        for _ in range(20):
            await asyncio.sleep(0.001)
            is_too_much = is_too_much or self.server.num_inside > self.most
        if not is_too_much:
            await says("done")(request, writer)
        elif self.streamed:
            begin_stream(writer)
            event(writer, chunk({"content": "half"}))
            event(writer, {"error": SHARED})
            writer.close()
        else:
            send(writer, 500, {"error": SHARED})


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("most", [1, 2])
async def test_slots_that_share_a_context_are_asked_again_with_fewer_at_once(most: int, streamed: bool) -> None:
    shared = SharedContext(most, streamed=streamed)
    async with running(shared) as server:
        shared.server = server
        answers = await answers_of(server, *PROMPTS, max_concurrency=6, max_tries=1)
    assert [(answer.text, answer.finish_reason) for answer in answers] == [("done", FinishReason.STOP)] * len(PROMPTS)
    assert server.most_inside == 6


async def test_a_context_that_stays_too_small_is_the_servers_fault() -> None:
    async with running(refuses(500, SHARED)) as server:
        answer = await answer_of(server, max_tries=2)
    assert (answer.finish_reason, len(server.asked)) == (FinishReason.BACKEND_FAULT, 2)
    assert "Context size" in answer.detail


TOO_LONG: dict[str, Any] = {
    "llama.cpp": {
        "code": 400,
        "message": "request (631 tokens) exceeds the available context size (256 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 631,
        "n_ctx": 256,
    },
    "OpenAI": {
        "message": "This model's maximum context length is 256 tokens. However, your messages resulted in 631 tokens.",
        "code": "context_length_exceeded",
        "type": "invalid_request_error",
        "n_prompt_tokens": 631,
    },
}


@pytest.mark.parametrize("kind", TOO_LONG)
async def test_a_prompt_that_is_too_long_is_not_asked_again_and_its_length_is_told(kind: str) -> None:
    for script in (refuses(400, TOO_LONG[kind]), streams({"error": TOO_LONG[kind]})):
        async with running(script) as server:
            answer = await answer_of(server)
        assert (answer.finish_reason, answer.num_prompt_tokens) == (FinishReason.CONTEXT_OVERFLOW, 631)
        assert "631" in answer.detail and "256" in answer.detail and len(server.asked) == 1


BUSY = {
    "529": refuses(529, {"type": "overloaded_error", "message": "Overloaded"}, "retry-after: 0\r\n"),
    "503 without a body": refuses(503, ""),
    "500 in words": refuses(500, "server busy, please try again, maximum pending requests exceeded"),
    "an error event": streams(chunk({"content": "half"}), {"error": {"code": 503, "message": "Loading model"}}),
    "a connection that breaks": writes(
        b'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\ndata: {"choices": []}\n\n'
    ),
    "an end in the middle": writes(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'
    ),
    "vLLM's error": streams({"object": "error", "message": "Engine is overloaded", "code": 503}),
}


@pytest.mark.parametrize("kind", BUSY)
async def test_a_busy_server_is_asked_again(kind: str) -> None:
    async with running(BUSY[kind], says("done")) as server:
        answer = await answer_of(server)
    assert (answer.text, len(server.asked)) == ("done", 2)


REFUSALS = {
    "llama.cpp": "Unable to generate parser for this template.\n------------\n"
    + "…" * 300
    + "\nError: Jinja Exception: nine letters",
    "vLLM": "Conversation roles must alternate user/assistant/user/assistant/... nine letters",
    "Mistral": "Tool call IDs should be alphanumeric strings with length 9! nine letters",
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_prompt_that_the_servers_template_refuses_costs_its_case_alone(kind: str) -> None:
    async with running(refuses(400, REFUSALS[kind]), says("fine")) as server:
        refused, fine = await answers_of(server, *PROMPTS[:2], max_concurrency=1)
    assert (refused.finish_reason, fine.text, len(server.asked)) == (FinishReason.TEMPLATE_FAULT, "fine", 2)
    assert "nine letters" in refused.detail


async def test_generations_that_are_no_runs_wait_in_bounds_and_a_runs_requests_do_not_wait_for_them() -> None:
    queue = FairQueue(1, QueueLimits(num_calls=0))
    async with running(says("done"), says("done")) as server, queue.place("other", is_bounded=True):
        with pytest.raises(Busy, match="waiting"):
            await answer_of(server, queue=queue)
        assert (await answer_of(server, queue=queue, test_run_id="run-1")).text == "done"
