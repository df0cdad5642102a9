"""Why an answer ended, in the words of many servers."""

from __future__ import annotations

from typing import Any

import pytest

from services.test_runner.backends.openai_endpoint.calls import GarbledError
from services.test_runner.backends.openai_endpoint.reply import ending_of, remark_on
from services.test_runner.domain.transcript import FinishReason, Message
from services.test_runner.ports.generation import Prompt
from tests.fakes.endpoint import begin_stream, chunk, event, running, streams
from tests.unit.test_runner.endpoints.asking import answer_of

USAGE = {"choices": [], "usage": {"prompt_tokens": 90, "completion_tokens": 20}}
CALL = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "read", "arguments": "{}"}}]}

STOPS = (
    *("stop", "tool_calls", "function_call", "eos_token", "eos", "stop_sequence", "end_turn", "tool_use", "COMPLETE"),
    *("STOP", "stop_token", "end_of_turn", "<|im_end|>", "Stop Sequence", "finished", "eot"),
)
LIMITS = (
    *("length", "max_tokens", "MAX_TOKENS", "model_length", "token_limit", "max_new_tokens", "LENGTH", "Max Tokens"),
    *("model_context_window_exceeded", "max_output_tokens", "cut_off"),
)
FAULTS = (
    *("content_filter", "error", "SAFETY", "abort", "aborted", "cancelled", "RECITATION", "timeout", "network_error"),
    *("insufficient_system_resource", "ERROR_LIMIT", "rate_limit", "PROHIBITED_CONTENT", "MALFORMED_FUNCTION_CALL"),
    *("sensitive", "incomplete", "policy_violation", "time_limit", "pause_turn", "TOO_MANY_TOOL_CALLS"),
)


def test_words_are_read_whatever_their_server() -> None:
    assert {ending_of(word) for word in STOPS} == {FinishReason.STOP}
    assert {ending_of(word) for word in LIMITS} == {FinishReason.LENGTH}
    assert {ending_of(word) for word in ("", " ", "null", "None", "unknown", "FINISH_REASON_UNSPECIFIED")} == {None}


@pytest.mark.parametrize("word", FAULTS)
def test_a_word_for_a_fault_of_the_server_ends_no_answer(word: str) -> None:
    with pytest.raises(GarbledError, match=word):
        ending_of(word)


def test_only_a_word_of_the_servers_own_is_remarked() -> None:
    assert [remark_on(word) for word in ("stop", "length", "tool_calls")] == ["", "", ""]
    assert "'eos_token'" in remark_on("eos_token") and "no reason" in remark_on("")


WHOLE: dict[str, tuple[list[Any], str]] = {
    "a word of its own": ([chunk(CALL), chunk({}, "eos_token"), USAGE], "'eos_token'"),
    "an empty word": ([chunk(CALL), chunk({}, ""), USAGE], "no reason"),
    "an empty word and no usage": ([chunk(CALL), chunk({}, "")], "no reason"),
    "no word": ([chunk(CALL), chunk({}), USAGE], "no reason"),
    "no word and no usage": ([chunk(CALL), chunk({})], "no reason"),
    "a word in a chunk of its own, twice": ([chunk(CALL), chunk({}, "end_turn"), chunk({}, ""), USAGE], "'end_turn'"),
    "a word with the last piece": ([chunk(CALL, "tool_use"), USAGE], "'tool_use'"),
}


@pytest.mark.parametrize("kind", WHOLE)
async def test_a_whole_answer_is_kept_after_one_request_with_the_servers_word(kind: str) -> None:
    chunks, word = WHOLE[kind]
    async with running(streams(*chunks)) as server:
        answer = await answer_of(server)
    assert (answer.finish_reason, len(answer.calls), len(server.asked)) == (FinishReason.STOP, 1, 1)
    assert word in answer.detail


@pytest.mark.parametrize(
    ("said", "stop_text"),
    [({"stop_reason": "END"}, "END"), ({"matched_stop": "END"}, "END"), ({"stop_reason": "end_turn"}, ""), ({}, "")],
)
async def test_the_text_that_ended_an_answer_is_told_where_the_server_says_it(said: Any, stop_text: str) -> None:
    last = chunk({"content": "Yes."}, "stop")
    last["choices"][0] |= said
    prompt = Prompt("p", (Message("user", "task"),), 1, stop=("END",), timeout_seconds=20.0)
    async with running(streams(last, USAGE)) as server:
        assert (await answer_of(server, prompt)).stop_text == stop_text


async def test_a_limit_without_a_word_is_still_a_limit() -> None:
    async with running(streams(chunk({"content": "cut"}), chunk({}, ""), USAGE)) as server:
        assert (await answer_of(server, max_new_tokens=20)).finish_reason is FinishReason.LENGTH


async def test_a_limit_in_another_word_is_a_limit() -> None:
    async with running(streams(chunk({"content": "cut"}), chunk({}, "MAX_TOKENS"), USAGE)) as server:
        answer = await answer_of(server)
    assert (answer.finish_reason, answer.text) == (FinishReason.LENGTH, "cut")
    assert "'MAX_TOKENS'" in answer.detail


async def test_a_stream_without_a_word_and_without_its_end_is_no_answer() -> None:
    async def breaks_off(_: Any, writer: Any) -> None:
        begin_stream(writer)
        for each in (chunk(CALL), chunk({}), USAGE):
            event(writer, each)
        writer.close()

    async with running(breaks_off) as server:
        answer = await answer_of(server, max_tries=2)
    assert (answer.finish_reason, len(server.asked)) == (FinishReason.BACKEND_FAULT, 2)


async def test_a_filter_of_the_server_is_no_answer_of_the_model() -> None:
    async with running(streams(chunk({"content": "half"}), chunk({}, "content_filter"), USAGE)) as server:
        answer = await answer_of(server)
    assert answer.finish_reason is FinishReason.BACKEND_FAULT
    assert "content_filter" in answer.detail and len(server.asked) == 1
