"""Cross-entropy over a large vocabulary, a few rows at a time, with its derivative taken on the way."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from services.lm.decoder import kernels

_ROWS: Final = 256


def trained_loss(hidden: Tensor, labels: Tensor, norm: Tensor, eps: float, head: Tensor) -> Tensor:
    """The summed cross-entropy of `labels` (rows,) given the last layer's `hidden` (rows, features), in float32.

    `norm` is the final norm's weight and `head` the (vocabulary, features) weight; both are taken to be frozen.
    """
    loss: Tensor = _TrainedLoss.apply(hidden, labels, norm, eps, head)  # type: ignore[no-untyped-call]
    return loss


class _TrainedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, labels: Tensor, norm: Tensor, eps: float, head: Tensor) -> Tensor:
        normed = torch.empty_like(hidden)
        inverse = kernels.rms_norm(hidden, norm, eps, normed)
        gradient = torch.empty_like(hidden)
        total = torch.zeros(())
        for start in range(0, hidden.shape[0], _ROWS):
            rows = slice(start, start + _ROWS)
            logits = (normed[rows] @ head.t()).float()
            wanted = labels[rows, None]
            weight = torch.logsumexp(logits, -1, keepdim=True)
            total += (weight - logits.gather(1, wanted)).sum()
            slope = torch.exp_(logits.sub_(weight))
            slope.scatter_add_(1, wanted, torch.full_like(weight, -1.0))
            gradient[rows] = slope.to(head.dtype) @ head
        ctx.save_for_backward(gradient, hidden, norm, inverse)
        return total

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        gradient, hidden, norm, inverse = ctx.saved_tensors
        result = torch.zeros_like(hidden)
        kernels.rms_norm_backward(gradient, hidden, norm, inverse, result)
        return result.mul_(above[0]), None, None, None, None
