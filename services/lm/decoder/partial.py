"""Attention to a part of the keys, and joining the parts: softmax over a union is the weighted mean of its parts'.

Each part is weighed by the log-sum-exp of its scores, so that the joined result is exact up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor


def attend_to_part(
    query: Tensor, key: Tensor, value: Tensor, scale: float, *, mask: Tensor | None = None, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """The attention's result as if these keys were all, and the log-sum-exp of the scores.

    Args:
        query: Shape (any, heads, rows, size), as what comes back; `key` and `value` (any, heads, keys, size).
        key: Of the same dtype and device, as `value`; may be expanded along `any` and `heads`.
        value: As `key`.
        scale: Multiplies the scores.
        mask: Added to the scores; expands to (any, heads, rows, keys), and leaves each row a key.
        causal: Row `i` sees keys `0 … i` only.

    Returns:
        The result, and the log-sum-exp in float32, shape (any, heads, rows).
    """
    if query.device.type == "cpu":
        output, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=mask, scale=scale
        )
        return output, weight
    return attend_by_products(query, key, value, scale, mask=mask, causal=causal)


def attend_by_products(
    query: Tensor, key: Tensor, value: Tensor, scale: float, *, mask: Tensor | None = None, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """As `attend_to_part`, by operators that every device has."""
    scores = torch.matmul(query, key.transpose(-2, -1)).float() * scale
    if mask is not None:
        scores += mask
    if causal:
        scores += torch.full_like(scores[0, 0], float("-inf")).triu_(1)
    weight = torch.logsumexp(scores, -1)
    shares = torch.exp(scores - weight.unsqueeze(-1)).to(value.dtype)
    return torch.matmul(shares, value), weight


def join_parts(output: Tensor, weight: Tensor, other: Tensor, other_weight: Tensor) -> None:
    """Join the part `other` to `output` in place, and its log-sum-exp to `weight`; weights lack the last dimension."""
    output.lerp_(other, torch.sigmoid(other_weight - weight).unsqueeze(-1).to(output.dtype))
    torch.logaddexp(weight, other_weight, out=weight)
