"""Log-probabilities over a large vocabulary, a few rows at a time, with their derivative taken on the way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

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


class HeadPass:
    """The log-probabilities of labels given the last layer's output, and their derivative."""

    def __init__(self, hidden: Tensor, labels: Tensor, head: Head, *, keeps: bool, entropies: bool) -> None:
        """Compute them from `hidden`, shape (rows, features), before the final norm; `keeps` if `backward` follows."""
        self._hidden, self._head = hidden, head
        normed = torch.empty_like(hidden)
        self._inverse = kernels.rms_norm(hidden, head.norm, head.eps, normed)
        self.log_probs, self.entropies, self._slopes = _tiled(normed, labels, head.weight, keeps, entropies)

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient with respect to `hidden`, from that of the log-probabilities."""
        above = self._slopes * gradient[:, None]
        result = torch.zeros_like(self._hidden)
        kernels.rms_norm_backward(above, self._hidden, self._head.norm, self._inverse, result)
        return result


def log_probs_of(
    hidden: Tensor, labels: Tensor, head: torch.nn.Module, finish: Callable[[Tensor], Tensor], *, entropies: bool
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of `labels`, and entropies or none, by any head; differentiable in all that they come from.

    Args:
        hidden: What goes into the head, shape (rows, features).
        labels: Token ids, shape (rows,).
        head: Gives logits; the largest tensors live for a tile of rows only, and are computed twice for the derivative.
        finish: What the model does to the head's result.
        entropies: Whether they are wanted.
    """
    # The derivative computes a tile again, on a GPU in another thread.
    temperature = _TEMPERATURE.get()

    def tile(rows: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        with tempered(temperature):
            return log_probs_of_logits(finish(head(rows)), chosen, entropies=entropies)

    pieces = zip(torch.split(hidden, _ROWS), torch.split(labels, _ROWS), strict=True)
    if torch.is_grad_enabled():
        tiles = [checkpoint(tile, *piece, use_reentrant=False) for piece in pieces]
    else:
        tiles = [tile(*piece) for piece in pieces]
    values, spread = zip(*tiles, strict=True)
    return torch.cat(values), torch.cat(spread)


def log_probs_of_logits(logits: Tensor, labels: Tensor, *, entropies: bool) -> tuple[Tensor, Tensor]:
    """As `log_probs_of`, from logits (rows, vocabulary)."""
    table = torch.log_softmax(_scaled(logits.float(), _TEMPERATURE.get()), -1)
    spread = _entropies(table.detach()) if entropies else table.new_empty(0)
    return table.gather(1, labels[:, None])[:, 0], spread


def _tiled(
    normed: Tensor, labels: Tensor, weight: Tensor, keeps: bool, entropies: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, entropies if wanted, and if `keeps` the derivative of each with respect to its row."""
    count = normed.shape[0]
    values, spread = torch.empty(count), torch.empty(count if entropies else 0)
    slopes = torch.empty_like(normed if keeps else normed[:0])
    temperature = _TEMPERATURE.get()
    for start in range(0, count, _ROWS):
        rows = slice(start, start + _ROWS)
        table = _scaled((normed[rows] @ weight.t()).float(), temperature)
        torch.log_softmax(table, -1, out=table)
        chosen = labels[rows, None]
        values[rows] = table.gather(1, chosen)[:, 0]
        if entropies:
            spread[rows] = _entropies(table)
        if keeps:
            slope = table.exp_().neg_()
            slope = _scaled(slope.scatter_add_(1, chosen, torch.ones(slope.shape[0], 1)), temperature)
            slopes[rows] = slope.to(normed.dtype) @ weight
    return values, spread, slopes


def _scaled(numbers: Tensor, temperature: float) -> Tensor:
    return numbers if temperature == 1 else numbers / temperature


def _entropies(table: Tensor) -> Tensor:
    values: Tensor = torch.special.entr(table.exp()).sum(-1)
    return values
