"""A made-up model: what it answers depends on the last words that it is asked."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

from drillyard.test_runner.v1 import transcript_pb2 as pb

from services.chassis.errors import Unimplemented

HELLO = "Hello there, this is the made-up model."
WEATHER = {"name": "get_weather", "arguments": {"city": "Oslo"}}
CALL = f"Let me look.\n<tool_call>\n{json.dumps(WEATHER)}\n</tool_call>"
ANSWERS = {
    "call": CALL,
    "bare": json.dumps(WEATHER),
    "fenced": f"```json\n{json.dumps(WEATHER)}\n```",
    "not a call": "a < b, and <tool_box> is no call",
    "two": f"{CALL}\n{CALL.partition(chr(10))[2]}",
}
OVERFLOW = "The prompt has 9000 tokens and the answer may have 1000; the model's context is 8192."


def tokens_of(text: str) -> list[str]:
    """Cut a text into words, each with the blank before it."""
    return re.findall(r"\s*\w+|\s*[^\w\s]|\s+", text)


def log_prob(token: str) -> float:
    """Return a number that depends on the token alone: words of one vowel are likely."""
    return -0.5 - len(set(token) & set("aeiou"))


async def generate(request: pb.GenerateRequest) -> AsyncIterator[pb.GenerateResponse]:
    asked = request.prompt or " ".join(f"t{token_id}" for token_id in request.prompt_token_ids)
    asked = asked or request.messages[-1].content
    if asked == "overflow":
        yield pb.GenerateResponse(finish_reason=pb.FINISH_REASON_CONTEXT_OVERFLOW, detail=OVERFLOW)
        return
    if asked == "unbuilt":
        raise Unimplemented("Generation is not built.", "Wait.")
    if request.echo:
        yield pb.GenerateResponse(log_probs=[_entry(one, place) for place, one in enumerate(tokens_of(asked))])
    answer = [f" {place}" for place in range(10**6)] if asked == "forever" else tokens_of(ANSWERS.get(asked, HELLO))
    shown = answer[: request.sampling.max_new_tokens or 192]
    for token in shown:
        if asked in ("forever", "fault"):
            await asyncio.sleep(0.01)
        entries = [_entry(token, 1)] if request.log_probs else []
        yield pb.GenerateResponse(text_delta=token, log_probs=entries)
    if asked == "fault":
        yield pb.GenerateResponse(finish_reason=pb.FINISH_REASON_BACKEND_FAULT, detail="The worker died.")
        return
    yield pb.GenerateResponse(
        finish_reason=pb.FINISH_REASON_LENGTH if len(shown) < len(answer) else pb.FINISH_REASON_STOP,
        num_prompt_tokens=len(tokens_of(asked)),
        num_cached_tokens=1,
        num_generated_tokens=len(shown),
    )


def _entry(token: str, place: int) -> pb.TokenLogProb:
    top = [pb.TopLogProb(token=token, log_prob=log_prob(token)), pb.TopLogProb(token=" x", log_prob=-9)]
    return pb.TokenLogProb(token=token, token_id=7, log_prob=log_prob(token) if place else None, top=top)
