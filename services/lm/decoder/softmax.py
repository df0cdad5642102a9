"""Softmax of a block's scores over what each of its tokens sees, and its derivative.

On a processor compiled loops touch only what is seen; elsewhere, and for other numbers, torch computes it with a mask.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.lm.decoder.compiled import DTYPES, compiled, exponential, load, numbers, order, store, unordered


@dataclass(frozen=True)
class Sight:
    """Which keys a block's tokens see: the first `common` ones, and of their own segment those up to themselves.

    Attributes:
        common: Keys that all see; behind them stand the block's own, and some that none sees.
        lengths: Of the segments, one behind the other.
        group: Rows of scores for each token.
    """

    common: int
    lengths: tuple[int, ...]
    group: int


def softmax(scores: Tensor, sight: Sight, scale: float) -> Tensor:
    """Replace `scores`, shape (key heads, tokens * group, keys), by the softmax of `scale` times them; 0 if unseen."""
    if _is_compiled(scores):
        _softmax(numbers(scores), _starts(sight.lengths), sight.common, (*scores.shape, sight.group), np.float32(scale))
        return scores
    scores.mul_(scale)
    own = scores[:, :, sight.common :]
    own += _later(sight.lengths, own.shape[2], sight.group, scores.dtype, scores.device)
    return torch.softmax(scores, -1, out=scores)


def softmax_backward(gradient: Tensor, probabilities: Tensor, sight: Sight, scale: float) -> Tensor:
    """Replace `gradient`, with respect to what `softmax` returned, by that with respect to the scores."""
    if _is_compiled(gradient):
        starts, factor = _starts(sight.lengths), np.float32(scale)
        rows = numbers(gradient), numbers(probabilities)
        _softmax_backward(*rows, starts, sight.common, (*gradient.shape, sight.group), factor)
        return gradient
    torch.ops.aten._softmax_backward_data.out(gradient, probabilities, -1, gradient.dtype, grad_input=gradient)
    return gradient.mul_(scale)


def _is_compiled(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in DTYPES


@lru_cache(maxsize=64)
def _starts(lengths: tuple[int, ...]) -> Any:
    """Of each token, where its segment begins among the block's own."""
    edges = np.cumsum((0, *lengths[:-1]))
    return np.repeat(edges, lengths)


@lru_cache(maxsize=64)
def _later(lengths: tuple[int, ...], width: int, group: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Minus infinity where a key is not of the row's segment or comes after its token; (tokens * group, width)."""
    mask = torch.full((sum(lengths), width), float("-inf"), dtype=dtype, device=device)
    start = 0
    for length in lengths:
        own = slice(start, start + length)
        mask[own, own].triu_(1)
        start += length
    return mask.repeat_interleave(group, dim=0)


@compiled
def _softmax(scores: Any, starts: Any, common: Any, shape: Any, scale: Any) -> None:
    heads, rows, width, group = shape
    seen = np.empty(width, np.float32)
    for number in range(heads * rows):
        token = number % rows // group
        first, count = common + starts[token], token + 1 - starts[token]
        row = scores[number * width : (number + 1) * width]
        own, seen_own, total = row[first : first + count], seen[common:], np.float32(0)
        largest = np.int32(-(1 << 31))
        for place in range(common):
            seen[place] = load(row[place]) * scale
            largest = max(largest, order(seen[place]))
        for place in range(count):
            seen_own[place] = load(own[place]) * scale
            largest = max(largest, order(seen_own[place]))
        top = unordered(largest)
        for place in range(common + count):
            seen[place] = exponential(seen[place] - top)
            total += seen[place]
        share = np.float32(1) / total
        for place in range(common):
            row[place] = store(row[place], seen[place] * share)
        row[common:first] = 0
        for place in range(count):
            own[place] = store(own[place], seen_own[place] * share)
        row[first + count :] = 0


@compiled
def _softmax_backward(gradient: Any, probabilities: Any, starts: Any, common: Any, shape: Any, scale: Any) -> None:
    heads, rows, width, group = shape
    slopes, shares = np.empty(width, np.float32), np.empty(width, np.float32)
    for number in range(heads * rows):
        token = number % rows // group
        first, count = common + starts[token], token + 1 - starts[token]
        row, chances = gradient[number * width : (number + 1) * width], probabilities[number * width :]
        own, own_chances, mean = row[first : first + count], chances[first:], np.float32(0)
        slopes_own, shares_own = slopes[common:], shares[common:]
        for place in range(common):
            slopes[place], shares[place] = load(row[place]), load(chances[place])
            mean += slopes[place] * shares[place]
        for place in range(count):
            slopes_own[place], shares_own[place] = load(own[place]), load(own_chances[place])
            mean += slopes_own[place] * shares_own[place]
        for place in range(common):
            row[place] = store(row[place], (slopes[place] - mean) * shares[place] * scale)
        row[common:first] = 0
        for place in range(count):
            own[place] = store(own[place], (slopes_own[place] - mean) * shares_own[place] * scale)
        row[first + count :] = 0
