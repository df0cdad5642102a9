"""Log-probabilities over a large vocabulary, a few rows at a time, with their derivative taken on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from services.lm.decoder import kernels

_ROWS: Final = 256
_TEMPERATURE: ContextVar[float] = ContextVar("temperature", default=1.0)


@contextmanager
def tempered(temperature: float) -> Iterator[None]:
    """Within the block, log-probabilities and entropies are those of logits divided by `temperature`, above 0."""
    token = _TEMPERATURE.set(temperature)
    try:
        yield
    finally:
        _TEMPERATURE.reset(token)


@dataclass(frozen=True)
class Head:
    """A model's end, taken to be frozen: the final norm's weight and eps, and the (vocabulary, features) weight."""

    norm: Tensor
    eps: float
    weight: Tensor


def trained_log_probs(hidden: Tensor, labels: Tensor, head: Head, *, entropies: bool) -> tuple[Tensor, Tensor]:
    """The log-probabilities of `labels` (rows,) given the last layer's `hidden` (rows, features), in float32.

    Args:
        hidden: Before the final norm.
        labels: Token ids.
        head: What follows.
        entropies: Whether the distributions' entropies are wanted.

    Returns:
        Log-probabilities, differentiable in `hidden`, and entropies, shape (rows,), or (0,) if they are not wanted.
    """
    values, spread = _TrainedLogProbs.apply(hidden, labels, head, entropies)  # type: ignore[no-untyped-call]
    return values, spread


def log_probs_of_logits(logits: Tensor, labels: Tensor, *, entropies: bool) -> tuple[Tensor, Tensor]:
    """As `trained_log_probs`, from logits (rows, vocabulary); differentiable in them."""
    table = torch.log_softmax(_scaled(logits.float(), _TEMPERATURE.get()), -1)
    spread = _entropies(table.detach()) if entropies else table.new_empty(0)
    return table.gather(1, labels[:, None])[:, 0], spread


def _scaled(numbers: Tensor, temperature: float) -> Tensor:
    return numbers if temperature == 1 else numbers / temperature


def _entropies(table: Tensor) -> Tensor:
    values: Tensor = torch.special.entr(table.exp()).sum(-1)
    return values


class _TrainedLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, labels: Tensor, head: Head, entropies: bool) -> tuple[Tensor, Tensor]:
        normed = torch.empty_like(hidden)
        inverse = kernels.rms_norm(hidden, head.norm, head.eps, normed)
        gradient = torch.empty_like(hidden)
        values = torch.empty(hidden.shape[0])
        spread = torch.empty(hidden.shape[0] if entropies else 0)
        temperature = _TEMPERATURE.get()
        for start in range(0, hidden.shape[0], _ROWS):
            rows = slice(start, start + _ROWS)
            table = torch.log_softmax(_scaled((normed[rows] @ head.weight.t()).float(), temperature), -1)
            chosen = labels[rows, None]
            values[rows] = table.gather(1, chosen)[:, 0]
            if entropies:
                spread[rows] = _entropies(table)
            slope = table.exp_().neg_()
            slope = _scaled(slope.scatter_add_(1, chosen, torch.ones(slope.shape[0], 1)), temperature)
            gradient[rows] = slope.to(hidden.dtype) @ head.weight
        ctx.save_for_backward(gradient, hidden, head.norm, inverse)
        ctx.mark_non_differentiable(spread)
        return values, spread

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        gradient, hidden, norm, inverse = ctx.saved_tensors
        result = torch.zeros_like(hidden)
        kernels.rms_norm_backward(gradient * above[0][:, None], hidden, norm, inverse, result)
        return result, None, None, None
