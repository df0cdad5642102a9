"""`POST /v1/completions`: texts continued as they are, without a chat template."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest, GenerateResponse, TokenLogProb
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from ui.openai.errors import ERROR_RESPONSES, OpenAIError, OpenAIRoute
from ui.openai.generation import (
    Generation,
    Whole,
    answers,
    caller_of,
    choices_of,
    finish_reason_of,
    sampling_of,
    seed_of,
    unless_gone,
    usage_of,
)
from ui.openai.log_probs import text_log_probs
from ui.openai.schemas import CompletionBody
from ui.openai.served import ServedModelsOf
from ui.openai.streaming import STREAMED, Envelope, event_stream
from ui.shared.documents import ClientsOf

router = APIRouter(tags=["OpenAI"], route_class=OpenAIRoute, responses=ERROR_RESPONSES)
_DEFAULT_TOKENS = 16


@router.post("/completions", responses=STREAMED)
async def create_completion(
    request: Request, clients: ClientsOf, served: ServedModelsOf, body: CompletionBody
) -> Response:
    """Continue a text, or several, as text or token ids; with `stream` as server-sent events."""
    target = await served.target(body.model)
    model = target.version.model_version_id
    seed = seed_of(body)
    prompts = [
        request for prompt in body.prompts for request in choices_of(target.ask(_request(body, prompt, seed)), body.n)
    ]
    if not body.stream:
        wholes = await unless_gone(request, answers(clients, prompts, caller_of(request)))
        return JSONResponse(_whole(body, model, wholes))
    if body.echo or len(prompts) > 1:
        problem = "A stream continues one prompt once, without echo."
        raise OpenAIError(problem, param="stream", code="unsupported_value")
    generation = await unless_gone(request, Generation.begin(clients, prompts[0], caller_of(request)))
    return event_stream(_pieces(body, model, generation))


def _request(body: CompletionBody, prompt: str | list[int], seed: int) -> GenerateRequest:
    longest = _DEFAULT_TOKENS if body.max_tokens is None else body.max_tokens
    # The text of token ids is known by their tokens only, which come with their probabilities.
    has_tokens = body.logprobs is not None or (bool(body.echo) and not isinstance(prompt, str))
    return GenerateRequest(
        prompt=prompt if isinstance(prompt, str) else "",
        prompt_token_ids=() if isinstance(prompt, str) else prompt,
        # The contract has no answer of no tokens; what is generated beyond the prompt is left out of the answer.
        sampling=sampling_of(body, max(longest, 1)),
        stop=body.stops,
        seed=seed,
        log_probs=has_tokens,
        num_top_log_probs=body.logprobs or 0,
        echo=bool(body.echo) and has_tokens,
    )


def _whole(body: CompletionBody, model: str, wholes: Sequence[Whole]) -> dict[str, Any]:
    prompts = [body.prompts[place // body.n] for place in range(len(wholes))]
    pairs = enumerate(zip(prompts, wholes, strict=True))
    choices = [_choice(body, place, prompt, whole) for place, (prompt, whole) in pairs]
    usage = usage_of([whole.last for whole in wholes], body.n)
    if body.max_tokens == 0:
        usage |= {"completion_tokens": 0, "total_tokens": usage["prompt_tokens"]}
    return Envelope("text_completion", model, "cmpl").document(choices, usage=usage)


def _choice(body: CompletionBody, place: int, prompt: str | list[int], whole: Whole) -> dict[str, Any]:
    text, result, reason = whole.text, list(whole.log_probs), finish_reason_of(whole.last)
    if body.max_tokens == 0:
        text, result, reason = "", result[: whole.last.num_prompt_tokens], "length"
    if not body.echo:
        return _document(body, place, text, reason, log_probs=result, offset=0)
    if not isinstance(prompt, str):
        prompt = "".join(log_prob.token for log_prob in whole.log_probs[: whole.last.num_prompt_tokens])
    before = max("".join(item.token for item in result).find(prompt), 0)
    return _document(body, place, prompt + text, reason, log_probs=result, offset=-before)


async def _pieces(body: CompletionBody, model: str, generation: Generation) -> AsyncIterator[dict[str, Any]]:
    envelope = Envelope("text_completion", model, "cmpl")
    more = {"usage": None} if body.tells_usage else {}
    last, offset = GenerateResponse(), 0
    async with aclosing(generation.responses()) as responses:
        async for last in responses:
            if last.text_delta or last.log_probs:
                piece = _document(body, 0, last.text_delta, None, log_probs=last.log_probs, offset=offset)
                yield envelope.document([piece], **more)
            offset += len(last.text_delta)
    yield envelope.document([_document(body, 0, "", finish_reason_of(last), log_probs=(), offset=offset)], **more)
    if body.tells_usage:
        yield envelope.document([], usage=usage_of([last]))


def _document(
    body: CompletionBody,
    place: int,
    text: str,
    reason: str | None,
    *,
    log_probs: Sequence[TokenLogProb],
    offset: int,
) -> dict[str, Any]:
    facts = text_log_probs(log_probs, offset) if body.logprobs is not None else None
    return {"index": place, "text": text, "logprobs": facts, "finish_reason": reason}
