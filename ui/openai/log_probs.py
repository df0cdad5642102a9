"""Log-probabilities in the two forms that OpenAI's routes have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drillyard.test_runner.v1.transcript_pb2 import TokenLogProb, TopLogProb

_LEAST = -9999.0  # JSON has no infinity; OpenAI's own number for a token that cannot come


def chat_log_probs(token_log_probs: Iterable[TokenLogProb]) -> dict[str, Any]:
    """Return the chat form: an object for each token."""
    return {"content": [_token(token_log_prob) for token_log_prob in token_log_probs], "refusal": None}


def text_log_probs(token_log_probs: Iterable[TokenLogProb], offset: int) -> dict[str, Any]:
    """Return the completions form: parallel lists; `offset` is the first token's place in the text.

    It is negative when tokens come before the text, such as the one that begins every prompt; they stand at 0.
    """
    tokens = list(token_log_probs)
    offsets = []
    for item in tokens:
        offsets.append(max(offset, 0))
        offset += len(item.token)
    return {
        "tokens": [item.token for item in tokens],
        "token_logprobs": [_log_prob(item) if item.HasField("log_prob") else None for item in tokens],
        "top_logprobs": [{top.token: _log_prob(top) for top in item.top} or None for item in tokens],
        "text_offset": offsets,
    }


def _token(token_log_prob: TokenLogProb) -> dict[str, Any]:
    tops = [{"token": top.token, "logprob": _log_prob(top), "bytes": _bytes(top.token)} for top in token_log_prob.top]
    return {
        "token": token_log_prob.token,
        "logprob": _log_prob(token_log_prob),
        "bytes": _bytes(token_log_prob.token),
        "top_logprobs": tops,
    }


def _bytes(token: str) -> list[int]:
    return list(token.encode())


def _log_prob(token_log_prob: TokenLogProb | TopLogProb) -> float:
    return max(token_log_prob.log_prob, _LEAST) if token_log_prob.log_prob == token_log_prob.log_prob else _LEAST
