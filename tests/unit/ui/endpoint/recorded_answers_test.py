"""What a recorded session keeps of an answer is what the client got."""

from __future__ import annotations

import pytest
from drillyard.test_runner.v1.transcript_pb2 import GenerateResponse, TokenLogProb, ToolCall

from ui.openai.chat import answered
from ui.openai.generation import Whole
from ui.openai.schemas import ChatBody

CALLS = tuple(ToolCall(name=name, arguments="{}") for name in ("look", "read"))


@pytest.mark.parametrize(
    ("is_parallel", "calls", "names", "token_ids"),
    [
        (True, CALLS, ["look", "read"], [5]),
        (False, CALLS, ["look"], []),
        (False, CALLS[:1], ["look"], [5]),
        (False, (), [], [5]),
    ],
)
def test_calls_that_were_left_out_of_an_answer_are_not_kept_either(
    is_parallel: bool, calls: tuple[ToolCall, ...], names: list[str], token_ids: list[int]
) -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "parallel_tool_calls": is_parallel}
    whole = Whole("Let me see.", calls, (TokenLogProb(token_id=5),), GenerateResponse())
    message, kept = answered(ChatBody.model_validate(asked), whole)
    assert ([call.name for call in message.tool_calls], kept) == (names, token_ids)
    assert message.content == "Let me see."
