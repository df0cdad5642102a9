"""Log-probabilities in the two forms that OpenAI's routes have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drillyard.test_runner.v1.transcript_pb2 import TokenLogProb, TopLogProb

_LEAST = -9999.0  # JSON has no infinity; OpenAI's own number for a token that cannot come


def chat_log_probs(found: Iterable[TokenLogProb]) -> dict[str, Any]:
    """Return the chat form: an object for each token."""
    return {"content": [_token(one) for one in found], "refusal": None}


def text_log_probs(found: Iterable[TokenLogProb], offset: int) -> dict[str, Any]:
    """Return the completions form: parallel lists; `offset` is the first token's place in the text.

    It is negative when tokens come before the text, such as the one that begins every prompt; they stand at 0.
    """
    listed = list(found)
    offsets = []
    for one in listed:
        offsets.append(max(offset, 0))
        offset += len(one.token)
    return {
        "tokens": [one.token for one in listed],
        "token_logprobs": [_log_prob(one) if one.HasField("log_prob") else None for one in listed],
        "top_logprobs": [{top.token: _log_prob(top) for top in one.top} or None for one in listed],
        "text_offset": offsets,
    }


def _token(one: TokenLogProb) -> dict[str, Any]:
    tops = [{"token": top.token, "logprob": _log_prob(top), "bytes": _bytes(top.token)} for top in one.top]
    return {"token": one.token, "logprob": _log_prob(one), "bytes": _bytes(one.token), "top_logprobs": tops}


def _bytes(token: str) -> list[int]:
    return list(token.encode())


def _log_prob(one: TokenLogProb | TopLogProb) -> float:
    return max(one.log_prob, _LEAST) if one.log_prob == one.log_prob else _LEAST
