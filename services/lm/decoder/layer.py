"""One decoder layer for training: a hand-written derivative that keeps little and recomputes what is cheap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.lm.decoder import kernels
from services.lm.decoder.blocks import Block, BlockAttention, Heads, Past
from services.lm.decoder.linear import Empty, JoinedLinear


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


@dataclass(frozen=True)
class Angles:
    """The positions' rotations, each of the shape (tokens, 1, size / 2)."""

    cos: Tensor
    sin: Tensor


@dataclass(frozen=True)
class LayerWork:
    """What one layer is to compute.

    Attributes:
        angles: Of all tokens.
        blocks: Whose attention is wanted.
        rows: The places whose output is wanted, in order and distinct; None for all.
        past: What all tokens see beside each other.
        keeps_probabilities: Whether the attention's probabilities are kept for the derivative or computed twice.
        empty: Makes what is kept.
    """

    angles: Angles
    blocks: Sequence[Block]
    rows: Tensor | None
    past: Past | None
    keeps_probabilities: bool
    empty: Empty


@dataclass(frozen=True)
class _Feed:
    """What is kept of the part behind the attention, of the wanted rows."""

    attended: Tensor
    middle: Tensor
    gate_up: Tensor
    inverse: Tensor
    adapted: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LayerState:
    """What a layer keeps for its derivative; without `feed`, no output was wanted."""

    x: Tensor
    qkv: Tensor
    inverse: Tensor
    adapted: Tensor
    kept: tuple[Tensor, ...]
    feed: _Feed | None


def layer_output(
    x: Tensor, angles: Angles, weights: LayerWeights, attend_rows: Callable[[Tensor, Tensor], None]
) -> Tensor:
    """The layer's output for `x`, without a derivative; `attend_rows(qkv, out)` computes the attention."""
    room = weights.qkv.room(x.shape[0])
    kernels.rms_norm(x, weights.attention_norm, weights.eps, room[:, : weights.qkv.inputs])
    qkv = weights.qkv.forward(room)
    kernels.rotate(qkv, weights.heads.rotated, angles.cos, angles.sin)
    room = weights.output.room(x.shape[0])
    attend_rows(qkv, room[:, : weights.output.inputs])
    middle = weights.output.forward(room).add_(x)
    room = weights.gate_up.room(x.shape[0])
    kernels.rms_norm(middle, weights.feed_norm, weights.eps, room[:, : weights.gate_up.inputs])
    gate_up = weights.gate_up.forward(room)
    room = weights.down.room(x.shape[0])
    kernels.gated(gate_up, room[:, : weights.down.inputs])
    return weights.down.forward(room).add_(middle)


def layer_forward(x: Tensor, weights: LayerWeights, work: LayerWork) -> tuple[Tensor, LayerState]:
    """The layer's output for `x`, shape (tokens, hidden), at the wanted rows, and what `layer_backward` needs."""
    room = weights.qkv.room(x.shape[0])
    inverse = kernels.rms_norm(x, weights.attention_norm, weights.eps, room[:, : weights.qkv.inputs])
    qkv = weights.qkv.forward(room, work.empty)
    adapted = weights.qkv.adapted(room, work.empty)
    kernels.rotate(qkv, weights.heads.rotated, work.angles.cos, work.angles.sin)
    if work.rows is not None and not work.rows.shape[0]:
        return x[:0], LayerState(x, qkv, inverse, adapted, (), None)
    attended = weights.output.room(x.shape[0], work.empty)
    out = attended[:, : weights.output.inputs]
    attention = BlockAttention(weights.heads, work.blocks, weights.scale, work.past)
    probabilities = attention.forward(qkv, out, work.empty if work.keeps_probabilities else Tensor.new_empty)
    kept = tuple(part for part in probabilities if work.keeps_probabilities)
    if work.rows is None:
        result, feed = _feed_forward(x, attended, weights, work.empty)
    else:
        result, feed = _feed_forward(x[work.rows], attended[work.rows], weights, work.empty)
    return result, LayerState(x, qkv, inverse, adapted, kept, feed)


def layer_backward(
    above: Tensor, state: LayerState, weights: LayerWeights, work: LayerWork, own: Past | None, *, to_inputs: bool
) -> Tensor:
    """The gradient with respect to the layer's input, from that of its output, which is overwritten.

    Those of the adapters and of `work.past` are added to theirs; `own` holds that of the layer's own keys and values.
    Unless it goes `to_inputs`, the result means nothing.
    """
    heads = weights.heads
    d_attended, d_x = state.qkv.new_zeros(state.x.shape[0], weights.output.inputs), above
    if state.feed:
        d_rows = _feed_backward(above, state.feed, weights)
        d_attended = d_rows if work.rows is None else d_attended.index_copy_(0, work.rows, d_rows)
    if work.rows is not None:
        d_x = torch.zeros_like(state.x).index_copy_(0, work.rows, above)
    attention = BlockAttention(heads, work.blocks if state.feed else (), weights.scale, work.past)
    d_qkv = attention.backward(d_attended, state.qkv, kept=state.kept, own=own)
    kernels.rotate(d_qkv, heads.rotated, work.angles.cos, work.angles.sin, back=True)
    normed = torch.empty_like(state.x)
    kernels.normalised(state.x, weights.attention_norm, state.inverse, normed)
    d_normed, d_adapted = weights.qkv.backward(d_qkv, to_inputs=to_inputs)
    weights.qkv.add_gradients(d_qkv, normed, state.adapted, d_adapted)
    if to_inputs:
        kernels.rms_norm_backward(d_normed, state.x, weights.attention_norm, state.inverse, d_x)
    return d_x


def _feed_forward(x: Tensor, attended: Tensor, weights: LayerWeights, empty: Empty) -> tuple[Tensor, _Feed]:
    middle = weights.output.forward(attended, empty).add_(x)
    room = weights.gate_up.room(x.shape[0])
    inverse = kernels.rms_norm(middle, weights.feed_norm, weights.eps, room[:, : weights.gate_up.inputs])
    gate_up = weights.gate_up.forward(room, empty)
    adapted = weights.gate_up.adapted(room, empty)
    room = weights.down.room(x.shape[0])
    kernels.gated(gate_up, room[:, : weights.down.inputs])
    result = weights.down.forward(room, empty).add_(middle)
    return result, _Feed(attended, middle, gate_up, inverse, (adapted, weights.down.adapted(room, empty)))


def _feed_backward(above: Tensor, feed: _Feed, weights: LayerWeights) -> Tensor:
    """The gradient of the attention's result; `above` becomes that of the input that was added to it."""
    product = torch.empty(above.shape[0], weights.down.inputs, dtype=above.dtype)
    d_product, d_adapted = weights.down.backward(above)
    d_gate_up = kernels.gated_backward(d_product, feed.gate_up, product)
    weights.down.add_gradients(above, product, feed.adapted[1], d_adapted)
    normed = torch.empty_like(feed.middle)
    kernels.normalised(feed.middle, weights.feed_norm, feed.inverse, normed)
    d_normed, d_adapted = weights.gate_up.backward(d_gate_up)
    weights.gate_up.add_gradients(d_gate_up, normed, feed.adapted[0], d_adapted)
    kernels.rms_norm_backward(d_normed, feed.middle, weights.feed_norm, feed.inverse, above)
    width = weights.output.inputs
    d_attended, d_adapted = weights.output.backward(above)
    weights.output.add_gradients(above, feed.attended[:, :width], feed.attended[:, width:], d_adapted)
    return d_attended
