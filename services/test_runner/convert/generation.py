"""Single generations, from and to the wire."""

import json

from drillyard.test_runner.v1 import transcript_pb2

from services.chassis.wire import from_message
from services.test_runner.convert.transcript import call_to_proto, finish_reason_to_proto, message_to_proto
from services.test_runner.domain import GenerationOrder, TokenLogProb
from services.test_runner.domain.generation import parse_tools
from services.test_runner.ports import Answer, Delta
from services.test_runner.usecases.rendering import RenderedPrompt, RenderOrder


def order_from_proto(request: transcript_pb2.GenerateRequest) -> GenerationOrder:
    """Return what is asked for, with what is unset as its default.

    Raises:
        InvalidArgument: A tool is no function definition.
    """
    return from_message(GenerationOrder, request, tools=parse_tools(request.tools))


def piece_to_proto(piece: Delta | Answer) -> transcript_pb2.GenerateResponse:
    """Return a piece of the answer; the last is an `Answer`, whose text is what no piece has brought yet."""
    response = transcript_pb2.GenerateResponse(text_delta=piece.text, log_probs=map(token_to_proto, piece.tokens))
    if isinstance(piece, Answer):
        response.finish_reason = finish_reason_to_proto(piece.finish_reason)
        response.tool_calls.extend(map(call_to_proto, piece.calls))
        response.num_prompt_tokens = piece.num_prompt_tokens
        response.num_cached_tokens = piece.num_cached_tokens
        response.num_generated_tokens = piece.num_generated_tokens
        response.detail = piece.detail
        response.stop_text = piece.stop_text
    return response


def render_order_from_proto(request: transcript_pb2.RenderPromptRequest) -> RenderOrder:
    """Return what is to be shown.

    Raises:
        InvalidArgument: A tool is no function definition.
    """
    return from_message(RenderOrder, request, tools=parse_tools(request.tools))


def rendered_to_proto(prompt: RenderedPrompt) -> transcript_pb2.RenderPromptResponse:
    """Return the rendered prompt."""
    return transcript_pb2.RenderPromptResponse(
        text=prompt.rendered.text,
        token_ids=prompt.rendered.token_ids,
        tokens=prompt.rendered.tokens,
        messages=map(message_to_proto, prompt.messages),
        tools=[json.dumps(tool, ensure_ascii=False) for tool in prompt.tools],
        stop=prompt.stop,
    )


def token_to_proto(item: TokenLogProb) -> transcript_pb2.TokenLogProb:
    """Return a token with its probability."""
    top = [transcript_pb2.TopLogProb(token=token, log_prob=log_prob) for token, log_prob in item.top]
    return transcript_pb2.TokenLogProb(token=item.token, token_id=item.token_id, log_prob=item.log_prob, top=top)
