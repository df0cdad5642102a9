"""Supervised fine-tuning: the loss on reference answers, computed behind the prefix that the examples share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from services.lm.chat import EncodedExample
from services.lm.packing import answer_loss, pack, whole_loss


@dataclass(frozen=True)
class StepLoss:
    """What one worker's part of a step came to.

    Attributes:
        loss: Its share of the mean over all trained tokens of the step; the workers' shares add up to the mean.
        num_tokens: Tokens it computed, a shared prefix counted once.
    """

    loss: float
    num_tokens: int


def num_trained_tokens(examples: Sequence[EncodedExample]) -> int:
    """Return how many tokens the loss of these examples is a mean over."""
    return sum(len(example.ids) - example.trained_from for example in examples)


def backward(
    model: Any, examples: Sequence[EncodedExample], *, num_trained_tokens: int, max_tokens: int, shares: bool = True
) -> StepLoss:
    """Add the gradients of the examples' share of the loss to the model's, pack by pack to bound memory.

    Args:
        model: A model with trainable parameters.
        examples: This worker's part of the batch; may be empty.
        num_trained_tokens: Of the whole batch, over all workers.
        max_tokens: Longest packed sequence.
        shares: Whether the examples are computed behind the prefix they share, or each by itself.
    """
    loss, tokens = 0.0, 0
    parts: Iterator[tuple[Tensor, int]]
    if shares:
        packs = pack(examples, max_tokens=max_tokens)
        parts = ((answer_loss(model, part, num_trained_tokens=num_trained_tokens), part.num_tokens) for part in packs)
    else:
        parts = ((whole_loss(model, part, num_trained_tokens=num_trained_tokens), len(part.ids)) for part in examples)
    for share, count in parts:
        share.backward()  # type: ignore[no-untyped-call]
        loss += share.item()
        tokens += count
    return StepLoss(loss, tokens)
