"""Choosing the next token: the same for a sequence whatever else is in its batch."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from services.lm.worker_protocol import Sampling

_FEW = 1024


def sequence_random(seed: int, key: str) -> random.Random:
    """The source of randomness of one sequence; equal arguments, equal numbers, on any machine."""
    return random.Random(f"{seed}:{key}")


def choose(logits: Tensor, sampling: Sampling, sources: Sequence[random.Random]) -> list[int]:
    """A token for each row of `logits`, (rows, vocabulary); one random number is drawn per row, none if greedy."""
    if sampling.temperature == 0:
        # In bfloat16 itself it takes four times as long.
        greedy: list[int] = logits.float().argmax(-1).tolist()
        return greedy
    draws = torch.tensor([source.random() for source in sources], dtype=torch.float64)
    probabilities = torch.softmax(logits.float() / sampling.temperature, -1)
    kept, tokens = _likeliest(probabilities, sampling)
    cumulated = kept.double().cumsum(-1)
    places = torch.searchsorted(cumulated, (draws * cumulated[:, -1])[:, None], right=True)
    chosen: list[int] = tokens.gather(1, places.clamp_(max=kept.shape[1] - 1))[:, 0].tolist()
    return chosen


def _likeliest(probabilities: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Probabilities in falling order, those outside `top_k` and `top_p` set to 0, and their tokens."""
    vocabulary = probabilities.shape[-1]
    count = min(sampling.top_k or vocabulary, vocabulary)
    if sampling.top_p < 1 and count > _FEW:
        kept, tokens = probabilities.topk(min(_FEW, count), dim=-1)
        if bool((kept.sum(-1) >= sampling.top_p).all()):
            return _nucleus(kept, sampling.top_p), tokens
    kept, tokens = probabilities.topk(count, dim=-1)
    return _nucleus(kept, sampling.top_p), tokens


def _nucleus(kept: Tensor, top_p: float) -> Tensor:
    """The fewest tokens that reach `top_p`, at least one."""
    if top_p >= 1:
        return kept
    before = kept.cumsum(-1) - kept
    return kept.masked_fill(before >= top_p, 0.0)
