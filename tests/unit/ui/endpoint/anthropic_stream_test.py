"""An answer in Anthropic's shape: its stream builds the document that it is without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from drillyard.test_runner.v1.transcript_pb2 import FINISH_REASON_STOP, GenerateResponse, ToolCall

from ui.openai.anthropic.messages import _Answer
from ui.openai.generation import Generation
from ui.openai.schemas import ChatBody

CALL = ToolCall(tool_call_id="call_1", name="get_weather", arguments='{"day": "today"}')
CHAT = ChatBody.model_validate({"model": "tiny@1", "messages": [{"role": "user", "content": "Hi"}]})


class _Recorder:
    async def keep(self, *_: Any) -> None:
        return


def _generation(pieces: Sequence[str], calls: Sequence[ToolCall], stop_text: str = "") -> Generation:
    async def stream() -> AsyncIterator[GenerateResponse]:
        for piece in pieces:
            yield GenerateResponse(text_delta=piece)
        yield GenerateResponse(finish_reason=FINISH_REASON_STOP, tool_calls=calls, stop_text=stop_text)

    return Generation(stream(), None)


async def _streamed(answer: _Answer, generation: Generation) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    async for event in answer.events(generation):
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta" and event["delta"]["type"] == "text_delta":
            assert event["delta"]["text"]
            blocks[event["index"]]["text"] += event["delta"]["text"]
    return blocks


@pytest.mark.parametrize(
    ("pieces", "calls", "texts"),
    [
        (["Hel", "lo", " you", "\n"], [], ["Hello you\n"]),
        (["\n", " ", "Look:", " \n", "\n"], [CALL], ["\n Look:"]),
        (["\n", " \n"], [CALL], []),
        ([" ", "\n"], [], [" \n"]),
        ([], [], [""]),
        ([], [CALL, CALL], []),
    ],
)
async def test_a_stream_builds_the_same_blocks(pieces: list[str], calls: list[ToolCall], texts: list[str]) -> None:
    recorder: Any = _Recorder()
    answer = _Answer(CHAT, "tiny@1", recorder)
    document = await answer.document(_generation(pieces, calls))
    streamed = await _streamed(answer, _generation(pieces, calls))
    for blocks in (document["content"], streamed):
        assert [block["text"] for block in blocks if block["type"] == "text"] == texts
        assert [block["type"] for block in blocks].count("tool_use") == len(calls)


@pytest.mark.parametrize(("stop_text", "reason"), [("END", "stop_sequence"), ("", "end_turn")])
async def test_an_answer_names_the_stop_sequence_that_ended_it(stop_text: str, reason: str) -> None:
    recorder: Any = _Recorder()
    answer = _Answer(CHAT, "tiny@1", recorder)
    document = await answer.document(_generation(["Yes."], [], stop_text))
    events = [event async for event in answer.events(_generation(["Yes."], [], stop_text))]
    for end in (document, events[-2]["delta"]):
        assert (end["stop_reason"], end["stop_sequence"]) == (reason, stop_text or None)
