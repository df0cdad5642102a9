"""Choosing the next token: the same for a sequence whatever else is in its batch."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from services.lm.worker_protocol import Sampling

_FEW = 1024


class Draws:
    """The random numbers of one sequence, one per token it gets; equal arguments, equal numbers, on any machine."""

    def __init__(self, seed: int, key: str) -> None:
        self._source = random.Random(f"{seed}:{key}")
        self._ahead: list[float] = []

    def next(self, count: int) -> list[float]:
        """The next ones, which stay the next ones until they are `taken`."""
        while len(self._ahead) < count:
            self._ahead.append(self._source.random())
        return self._ahead[:count]

    def taken(self, count: int) -> None:
        """As many tokens were written."""
        self.next(count)
        del self._ahead[:count]


def choose(logits: Tensor, sampling: Sampling, draws: Sequence[float]) -> list[int]:
    """A token for each row of `logits`, (rows, vocabulary), by its number of `draws`; greedy choice needs none."""
    if sampling.temperature == 0:
        # `argmax` takes two to four times as long on bfloat16; both give the first of equal ones.
        greedy: list[int] = logits.max(-1).indices.tolist()
        return greedy
    probabilities = torch.softmax(logits.float() / sampling.temperature, -1)
    if sampling.top_p == 1 and not sampling.top_k and not sampling.min_p:
        # Without a filter their order does not matter, and sorting a vocabulary takes most of a pass.
        return _drawn(probabilities, draws)[:, 0].tolist()
    kept, tokens = _likeliest(probabilities, sampling)
    if sampling.min_p > 0:
        kept = kept.masked_fill(kept < sampling.min_p * kept[:, :1], 0.0)
    choices: list[int] = tokens.gather(1, _drawn(kept, draws))[:, 0].tolist()
    return choices


def _drawn(weights: Tensor, draws: Sequence[float]) -> Tensor:
    """A place of each row, shape (rows, 1), with a chance in proportion to its weight."""
    cumulated = weights.double().cumsum(-1)
    thresholds = torch.tensor(draws, dtype=torch.float64, device=weights.device) * cumulated[:, -1]
    places = torch.searchsorted(cumulated, thresholds[:, None], right=True)
    return places.clamp_(max=weights.shape[1] - 1)


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
