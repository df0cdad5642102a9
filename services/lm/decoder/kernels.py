"""The element-wise parts of a decoder layer and their derivatives; inputs have the shape (tokens, features).

Rows of `out` and of gradients may stand apart, as the left columns of a wider tensor do; all else is without gaps.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.lm.decoder.compiled import compiled, exponential, load, numbers, store


def rms_norm(x: Tensor, weight: Tensor, eps: float, out: Tensor) -> Tensor:
    """Write `x` divided by its root mean square, times `weight`, to `out`; return the inverse divisors, (tokens,)."""
    inverse = torch.empty(x.shape[0], dtype=torch.float32)
    _inverse_rms(numbers(x), np.float32(eps), inverse.numpy(), x.shape[1])
    normalised(x, weight, inverse, out)
    return inverse


def normalised(x: Tensor, weight: Tensor, inverse: Tensor, out: Tensor) -> None:
    """What `rms_norm` wrote, again, from what it returned."""
    if x.shape[0]:
        _normalised(numbers(x), numbers(weight), inverse.numpy(), numbers(out), out.stride(0))


def rms_norm_backward(gradient: Tensor, x: Tensor, weight: Tensor, inverse: Tensor, into: Tensor) -> None:
    """Add the gradient with respect to `x` to `into`, in place."""
    if x.shape[0]:
        step = gradient.stride(0)
        _rms_norm_backward(numbers(gradient), numbers(x), numbers(weight), inverse.numpy(), numbers(into), step)


def rotate(rows: Tensor, heads: int, cos: Tensor, sin: Tensor, *, back: bool = False) -> None:
    """Turn the first `heads` heads of each row in place by its position's angles, or back.

    Args:
        rows: Shape (tokens, features), without gaps.
        heads: How many stand at the beginning of a row.
        cos: Shape (tokens, 1, size / 2), as `sin`.
        sin: As `cos`.
        back: Whether the angles are negated.
    """
    _rotate(numbers(rows), numbers(cos), numbers(sin), tuple(rows.shape), heads, np.float32(-1 if back else 1))


def gated(gate_up: Tensor, out: Tensor) -> None:
    """Write `silu(gate) * up` to `out`; `gate_up` holds both side by side, without gaps."""
    if out.shape[0]:
        _gated(numbers(gate_up), numbers(out), tuple(out.shape), out.stride(0))


def gated_backward(gradient: Tensor, gate_up: Tensor, product: Tensor) -> Tensor:
    """The gradient with respect to `gate_up`; writes to `product` what `gated` did."""
    result = torch.empty_like(gate_up)
    if product.shape[0]:
        step = gradient.stride(0)
        _gated_backward(
            numbers(gradient), numbers(gate_up), numbers(product), numbers(result), tuple(product.shape), step
        )
    return result


@compiled
def _inverse_rms(x: Any, eps: Any, inverse: Any, size: Any) -> None:
    for row in range(len(inverse)):
        source, total = x[row * size : (row + 1) * size], np.float32(0)
        for place in range(size):
            total += load(source[place]) * load(source[place])
        inverse[row] = np.float32(1) / np.sqrt(total / np.float32(size) + eps)


@compiled
def _normalised(x: Any, weight: Any, inverse: Any, out: Any, step: Any) -> None:
    size = len(weight)
    for row in range(len(inverse)):
        source, target = x[row * size : (row + 1) * size], out[row * step : row * step + size]
        for place in range(size):
            target[place] = store(target[place], load(source[place]) * inverse[row] * load(weight[place]))


@compiled
def _rms_norm_backward(gradient: Any, x: Any, weight: Any, inverse: Any, into: Any, step: Any) -> None:
    size = len(weight)
    for row in range(len(inverse)):
        above, source = gradient[row * step : row * step + size], x[row * size : (row + 1) * size]
        target, scale, shared = into[row * size : (row + 1) * size], inverse[row], np.float32(0)
        for place in range(size):
            shared += load(above[place]) * load(weight[place]) * load(source[place])
        shared *= -scale * scale / np.float32(size)
        for place in range(size):
            slope = load(above[place]) * load(weight[place]) + shared * load(source[place])
            target[place] = store(target[place], load(target[place]) + scale * slope)


@compiled
def _rotate(rows: Any, cos: Any, sin: Any, shape: Any, heads: Any, sign: Any) -> None:
    half = len(cos) // max(1, shape[0])
    for row in range(shape[0]):
        cosines, sines = cos[row * half : (row + 1) * half], sin[row * half : (row + 1) * half]
        for head in range(heads):
            start = row * shape[1] + 2 * half * head
            first, second = rows[start : start + half], rows[start + half : start + 2 * half]
            for place in range(half):
                x, y = load(first[place]), load(second[place])
                across, along = load(sines[place]) * sign, load(cosines[place])
                first[place] = store(first[place], x * along - y * across)
                second[place] = store(second[place], y * along + x * across)


@compiled
def _gated(gate_up: Any, out: Any, shape: Any, step: Any) -> None:
    rows, size = shape
    one = np.float32(1)
    for row in range(rows):
        start = 2 * row * size
        gates, ups = gate_up[start : start + size], gate_up[start + size : start + 2 * size]
        target = out[row * step : row * step + size]
        for place in range(size):
            gate = load(gates[place])
            opened = gate * (one / (one + exponential(-gate)))
            target[place] = store(target[place], opened * load(ups[place]))


@compiled
def _gated_backward(gradient: Any, gate_up: Any, product: Any, result: Any, shape: Any, step: Any) -> None:
    rows, size = shape
    one = np.float32(1)
    for row in range(rows):
        start, edge, end = 2 * row * size, (2 * row + 1) * size, 2 * (row + 1) * size
        gates, ups, above = gate_up[start:edge], gate_up[edge:end], gradient[row * step : row * step + size]
        d_gates, d_ups, products = result[start:edge], result[edge:end], product[row * size : (row + 1) * size]
        for place in range(size):
            gate, up, slope = load(gates[place]), load(ups[place]), load(above[place])
            share = one / (one + exponential(-gate))
            opened = gate * share
            products[place] = store(products[place], opened * up)
            d_ups[place] = store(d_ups[place], opened * slope)
            d_gates[place] = store(d_gates[place], slope * up * (share + opened * (one - share)))
