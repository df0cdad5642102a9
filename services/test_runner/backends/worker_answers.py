"""Prompts and answers, from and to the words of the worker's protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from services.lm import worker_protocol as protocol
from services.test_runner.domain import Environment, FinishReason, TokenLogProb
from services.test_runner.ports import Answer, Delta, Prompt, Workload


def prompt_to_worker(prompt: Prompt, max_new_tokens: int) -> protocol.Prompt:
    """Return the prompt."""
    return protocol.Prompt(
        key=prompt.key,
        messages=tuple(message.to_chat() for message in prompt.messages),
        max_new_tokens=max_new_tokens,
        seed=prompt.seed,
        tools=prompt.tools,
        text=prompt.text,
        stop=prompt.stop,
        conversation=prompt.conversation,
        token_ids=prompt.token_ids,
    )


def generate_of(request_id: int, workload: Workload, max_batch: int) -> protocol.Generate:
    """Return the request for all that a workload asks."""
    sampling = workload.sampling
    return protocol.Generate(
        id=request_id,
        prompts=tuple(prompt_to_worker(prompt, sampling.max_new_tokens) for prompt in workload.prompts),
        sampling=protocol.Sampling(sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p),
        max_batch=max_batch,
        log_probs=workload.log_probs,
        num_top_log_probs=workload.num_top_log_probs,
        echo=workload.echo,
        stream=workload.stream,
    )


def environment_of(ready: protocol.Ready) -> Environment:
    """Return what generates."""
    return Environment(
        dtype=ready.dtype,
        num_threads=ready.threads,
        chat_template_digest=f"sha256:{ready.chat_template_digest.removeprefix('sha256:')}",
        library_versions=dict(ready.library_versions),
        device=ready.device,
    )


def answer_of(event: protocol.Answer) -> Answer:
    """Return the answer."""
    return Answer(
        key=event.key,
        text=event.text,
        finish_reason=FinishReason(event.finish_reason),
        token_ids=event.token_ids,
        num_prompt_tokens=event.prompt_tokens,
        num_cached_tokens=event.cached_tokens,
        prefill_seconds=event.prefill_seconds,
        decode_seconds=event.decode_seconds,
        queue_seconds=event.queue_seconds,
        num_generated_tokens=len(event.token_ids),
        detail=event.detail,
        tokens=tuple(_tokens(event)) if event.log_probs else (),
        prompt_tokens=tuple(_prompt_tokens(event)),
    )


def delta_of(event: protocol.Delta) -> Delta:
    """Return the piece."""
    return Delta(event.key, event.text, tuple(_tokens(event)) if event.log_probs else ())


def _tokens(event: protocol.Answer | protocol.Delta) -> Iterator[TokenLogProb]:
    return _zipped(event.tokens, event.token_ids, event.log_probs, event.top_log_probs)


def _prompt_tokens(event: protocol.Answer) -> Iterator[TokenLogProb]:
    return _zipped(event.prompt_tokens_text, event.prompt_token_ids, event.prompt_log_probs, event.prompt_top_log_probs)


def _zipped(
    texts: Sequence[str],
    token_ids: Sequence[int],
    log_probs: Sequence[float | None],
    tops: Sequence[protocol.TopLogProbs],
) -> Iterator[TokenLogProb]:
    for text, token_id, log_prob, top in zip_longest(texts, token_ids, log_probs, tops):
        yield TokenLogProb(text or "", -1 if token_id is None else token_id, log_prob, top or ())
