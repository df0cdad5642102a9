"""The element-wise parts of a decoder layer and their derivatives; inputs have the shape (tokens, features)."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

# Rows handled at a time where float32 intermediates are needed: few enough to stay in the processor's cache.
_ROWS: Final = 128


def rms_norm(x: Tensor, weight: Tensor, eps: float, out: Tensor) -> Tensor:
    """Write `x` divided by its root mean square, times `weight`, to `out`; return the inverse divisors, (tokens, 1)."""
    inverse = torch.empty(x.shape[0], 1, dtype=torch.float32)
    for start in range(0, x.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        scale = torch.rsqrt(x[rows].float().square().mean(-1, keepdim=True).add_(eps))
        inverse[rows] = scale
        torch.mul((x[rows] * scale).to(x.dtype), weight, out=out[rows])
    return inverse


def normalised(x: Tensor, weight: Tensor, inverse: Tensor, out: Tensor) -> None:
    """What `rms_norm` wrote, again, from what it returned."""
    for start in range(0, x.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        torch.mul((x[rows] * inverse[rows]).to(x.dtype), weight, out=out[rows])


def rms_norm_backward(gradient: Tensor, x: Tensor, weight: Tensor, inverse: Tensor, into: Tensor) -> None:
    """Add the gradient with respect to `x` to `into`, in place."""
    size = x.shape[-1]
    wide_weight = weight.float()
    for start in range(0, x.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        scale = inverse[rows]
        weighted = gradient[rows] * wide_weight
        unit = x[rows] * scale
        shared = torch.linalg.vecdot(weighted, unit).unsqueeze(-1).div_(-size)
        into[rows] += weighted.addcmul_(unit, shared).mul_(scale).to(into.dtype)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Turn each head in place by its position's angles.

    Args:
        heads: Shape (tokens, heads, size).
        cos: Shape (tokens, 1, size / 2), as `sin`; a negated `sin` turns back.
        sin: As `cos`.
    """
    half = heads.shape[-1] // 2
    first, second = heads[..., :half], heads[..., half:]
    turned = first * sin
    first.mul_(cos).sub_(second * sin)
    second.mul_(cos).add_(turned)


def gated(gate_up: Tensor, out: Tensor) -> None:
    """Write `silu(gate) * up` to `out`; `gate_up` holds both side by side."""
    size = gate_up.shape[-1] // 2
    for start in range(0, gate_up.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        torch.mul(torch.nn.functional.silu(gate_up[rows, :size]), gate_up[rows, size:], out=out[rows])


def gated_backward(gradient: Tensor, gate_up: Tensor, product: Tensor) -> Tensor:
    """The gradient with respect to `gate_up`; writes to `product` what `gated` did."""
    size = gate_up.shape[-1] // 2
    result = torch.empty_like(gate_up)
    for start in range(0, gate_up.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        gate, up, above = gate_up[rows, :size], gate_up[rows, size:], gradient[rows]
        opened = torch.nn.functional.silu(gate)
        torch.mul(opened, up, out=product[rows])
        torch.mul(opened, above, out=result[rows, size:])
        result[rows, :size] = torch.ops.aten.silu_backward(above * up, gate)
    return result
