"""One decoder layer for training: a hand-written derivative that keeps little and recomputes what is cheap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.lm.decoder import kernels
from services.lm.decoder.blocks import Heads, attend, attend_backward
from services.lm.decoder.linear import JoinedLinear
from services.lm.prefix import Layout


@dataclass(frozen=True)
class LayerWeights:
    """What a layer computes with: two norms (weight, eps) and four joined products."""

    heads: Heads
    scale: float
    eps: float
    attention_norm: Tensor
    feed_norm: Tensor
    qkv: JoinedLinear
    output: JoinedLinear
    gate_up: JoinedLinear
    down: JoinedLinear

    @property
    def products(self) -> tuple[JoinedLinear, ...]:
        """The joined products, in the order of their use."""
        return self.qkv, self.output, self.gate_up, self.down

    @property
    def trainable(self) -> list[Tensor]:
        """The adapters' tensors, in the order in which gradients are returned."""
        return [tensor for product in self.products for tensor in product.trainable]


@dataclass(frozen=True)
class Angles:
    """The positions' rotations, each of the shape (tokens, 1, size / 2)."""

    cos: Tensor
    sin: Tensor


@dataclass(frozen=True)
class TrainingPass:
    """Where the tokens are, and whether a layer keeps its attention's probabilities or computes them twice."""

    angles: Angles
    layout: Layout
    keeps_probabilities: bool


def layer_output(
    x: Tensor, angles: Angles, weights: LayerWeights, attend_rows: Callable[[Tensor, Tensor], None]
) -> Tensor:
    """The layer's output for `x`, without a derivative; `attend_rows(qkv, out)` computes the attention."""
    room = weights.qkv.room(x.shape[0])
    kernels.rms_norm(x, weights.attention_norm, weights.eps, room[:, : weights.qkv.inputs])
    qkv = weights.qkv.forward(room)
    kernels.rotate(_rotated_heads(qkv, weights.heads), angles.cos, angles.sin)
    room = weights.output.room(x.shape[0])
    attend_rows(qkv, room[:, : weights.output.inputs])
    middle = weights.output.forward(room).add_(x)
    room = weights.gate_up.room(x.shape[0])
    kernels.rms_norm(middle, weights.feed_norm, weights.eps, room[:, : weights.gate_up.inputs])
    gate_up = weights.gate_up.forward(room)
    room = weights.down.room(x.shape[0])
    kernels.gated(gate_up, room[:, : weights.down.inputs])
    return weights.down.forward(room).add_(middle)


def layer_forward(x: Tensor, training: TrainingPass, weights: LayerWeights) -> Tensor:
    """The layer's output for `x`, both of the shape (tokens, hidden); differentiable in `x` and the adapters."""
    output: Tensor = _Layer.apply(x, training, weights, *weights.trainable)  # type: ignore[no-untyped-call]
    return output


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, training: TrainingPass, weights: LayerWeights, *_: Tensor) -> Tensor:
        angles = training.angles
        room = weights.qkv.room(x.shape[0])
        inverse_1 = kernels.rms_norm(x, weights.attention_norm, weights.eps, room[:, : weights.qkv.inputs])
        qkv = weights.qkv.forward(room)
        adapted = [weights.qkv.adapted(room)]
        kernels.rotate(_rotated_heads(qkv, weights.heads), angles.cos, angles.sin)
        attended = weights.output.room(x.shape[0])
        room = attended[:, : weights.output.inputs]
        probabilities = attend(qkv, weights.heads, training.layout, scale=weights.scale, out=room)
        kept = [part for part in probabilities if training.keeps_probabilities]
        middle = weights.output.forward(attended).add_(x)
        room = weights.gate_up.room(x.shape[0])
        inverse_2 = kernels.rms_norm(middle, weights.feed_norm, weights.eps, room[:, : weights.gate_up.inputs])
        gate_up = weights.gate_up.forward(room)
        adapted.append(weights.gate_up.adapted(room))
        room = weights.down.room(x.shape[0])
        kernels.gated(gate_up, room[:, : weights.down.inputs])
        result = weights.down.forward(room).add_(middle)
        adapted.append(weights.down.adapted(room))
        ctx.save_for_backward(x, qkv, attended, middle, gate_up, inverse_1, inverse_2, *adapted, *kept)
        ctx.training, ctx.weights = training, weights
        return result

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        x, qkv, attended, middle, gate_up, inverse_1, inverse_2, *rest = ctx.saved_tensors
        (adapted_qkv, adapted_gate_up, adapted_down), kept = rest[:3], rest[3:]
        weights: LayerWeights = ctx.weights
        angles, layout = ctx.training.angles, ctx.training.layout
        d_middle = above[0].clone()
        d_feed, feed = _feed_backward(weights, above[0], (gate_up, adapted_gate_up, adapted_down), middle, inverse_2)
        kernels.rms_norm_backward(d_feed, middle, weights.feed_norm, inverse_2, d_middle)
        width = weights.output.inputs
        d_attended, output = weights.output.backward(d_middle, attended[:, :width], attended[:, width:])
        d_qkv = attend_backward(d_attended, qkv, weights.heads, layout, scale=weights.scale, kept=kept)
        kernels.rotate(_rotated_heads(d_qkv, weights.heads), angles.cos, -angles.sin)
        normed = torch.empty_like(x)
        kernels.normalised(x, weights.attention_norm, inverse_1, normed)
        d_normed, joined = weights.qkv.backward(d_qkv, normed, adapted_qkv)
        if ctx.needs_input_grad[0]:
            kernels.rms_norm_backward(d_normed, x, weights.attention_norm, inverse_1, d_middle)
        return (d_middle if ctx.needs_input_grad[0] else None), None, None, *joined, *output, *feed


def _rotated_heads(qkv: Tensor, heads: Heads) -> Tensor:
    """Queries and keys, the part of `qkv` that positions rotate: shape (tokens, heads, size)."""
    rotated = heads.queries + heads.keys
    return qkv[:, : rotated * heads.size].view(-1, rotated, heads.size)


def _feed_backward(
    weights: LayerWeights, above: Tensor, kept: tuple[Tensor, Tensor, Tensor], middle: Tensor, inverse: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Through the feed-forward part: the gradient of its normed input, and those of its adapters."""
    gate_up, adapted_gate_up, adapted_down = kept
    product = torch.empty(above.shape[0], weights.down.inputs, dtype=above.dtype)
    kernels.gated(gate_up, product)
    d_product, down = weights.down.backward(above, product, adapted_down)
    d_gate_up = kernels.gated_backward(d_product, gate_up)
    normed = torch.empty_like(middle)
    kernels.normalised(middle, weights.feed_norm, inverse, normed)
    d_normed, joined = weights.gate_up.backward(d_gate_up, normed, adapted_gate_up)
    return d_normed, [*joined, *down]
