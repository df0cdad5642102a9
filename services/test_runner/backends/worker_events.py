"""What a generation worker sends, in the words of this service."""

from collections.abc import Sequence
from itertools import zip_longest

from services.lm import worker_protocol as protocol
from services.test_runner.domain.generation import TokenLogProb
from services.test_runner.domain.test_run import Environment
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.generation import Answer, Delta


def environment_of(ready: protocol.Ready) -> Environment:
    """Return what a worker computes with."""
    return Environment(
        dtype=ready.dtype,
        num_threads=ready.threads,
        chat_template_digest=f"sha256:{ready.chat_template_digest.removeprefix('sha256:')}",
        library_versions=dict(ready.library_versions),
        device=ready.device,
    )


def answer_of(event: protocol.Answer) -> Answer:
    """Return the answer that a worker sends."""
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
        stop_text=event.stop_text,
        tokens=_tokens(event.tokens, event.token_ids, event.log_probs, event.top_log_probs) if event.log_probs else (),
        prompt_tokens=_tokens(
            event.prompt_tokens_text, event.prompt_token_ids, event.prompt_log_probs, event.prompt_top_log_probs
        ),
    )


def delta_of(event: protocol.Delta) -> Delta:
    """Return the piece of an answer that a worker sends."""
    has_tokens = bool(event.log_probs)
    tokens = _tokens(event.tokens, event.token_ids, event.log_probs, event.top_log_probs) if has_tokens else ()
    return Delta(event.key, event.text, tokens)


def _tokens(
    texts: Sequence[str],
    token_ids: Sequence[int],
    log_probs: Sequence[float | None],
    tops: Sequence[protocol.TopLogProbs],
) -> tuple[TokenLogProb, ...]:
    return tuple(
        TokenLogProb(text or "", -1 if token_id is None else token_id, log_prob, top or ())
        for text, token_id, log_prob, top in zip_longest(texts, token_ids, log_probs, tops)
    )
