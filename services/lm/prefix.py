"""Attention where sequences share a prefix: in `[prefix][part 1][part 2]…` a part sees the prefix and itself only.

Registered with transformers under `ATTENTION`, so that any standard decoder computes it; without an active layout the
same models attend as usual. A part's attention is computed once against the prefix and once against itself, and the two
are joined by their log-sum-exp, which is exact: softmax over a union is the weighted mean of the parts' softmaxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from services.lm.errors import LmError

ATTENTION: Final = "shared_prefix"

# (layer, query, key, value, scale) to the output, all of the shape (1, heads, length, size).
Attend = Callable[[int, Tensor, Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Layout:
    """Where the prefix ends and each part lies; `parts` are (start, end) token positions, adjoining, in order."""

    prefix_length: int
    parts: tuple[tuple[int, int], ...]

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The prefix, unless it is empty, and the parts: each attends causally to itself."""
        return ((0, self.prefix_length), *self.parts) if self.prefix_length else self.parts


# What attends now, and whether no sequence is longer than the model's attention window.
_ACTIVE: ContextVar[tuple[Attend, bool] | None] = ContextVar("active_attention", default=None)


@contextmanager
def attending(attend: Attend, *, fits_window: bool = False) -> Iterator[None]:
    """Within the block, models loaded with `ATTENTION` attend by `attend`; inputs have the shape (1, length).

    A model with a limited attention window is refused, unless the caller knows that all sequences fit it.
    """
    with _restored((attend, fits_window)):
        yield


def recomputing_contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """For activation checkpoints: within what a layer is computed now, and again when its derivative is taken."""
    return nullcontext(), _restored(_ACTIVE.get())


@contextmanager
def _restored(active: tuple[Attend, bool] | None) -> Iterator[None]:
    token = _ACTIVE.set(active)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def attending_to(layout: Layout) -> Attend:
    """Attention as `layout` says, differentiable, for `attending`."""
    return lambda _, query, key, value, scale: shared_prefix_attention(query, key, value, layout, scale)


def shared_prefix_attention(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float) -> Tensor:
    """The attention output, differentiable once.

    Args:
        query: Shape (1, heads, length, size).
        key: Shape (1, key heads, length, size); `heads` is a multiple of `key heads`.
        value: As `key`.
        layout: Covers `length` tokens.
        scale: Multiplies the scores.

    Returns:
        Shape (1, heads, length, size).
    """
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    output: Tensor = _SharedPrefixAttention.apply(query, key, value, layout, scale)  # type: ignore[no-untyped-call]
    return output


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


class _SharedPrefixAttention(torch.autograd.Function):
    """The joined attention; given the joined output and log-sum-exp, each kernel's derivative is its exact share."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float) -> Tensor:
        pieces = [
            attend_to_part(query[:, :, a:b], key[:, :, a:b], value[:, :, a:b], scale, causal=True)
            for a, b in layout.segments
        ]
        output, weight = (torch.cat(part, dim=2) for part in zip(*pieces, strict=True))
        p = layout.prefix_length
        if p and layout.parts:
            shared, shared_weight = attend_to_part(query[:, :, p:], key[:, :, :p], value[:, :, :p], scale)
            join_parts(output[:, :, p:], weight[:, :, p:], shared, shared_weight)
        ctx.save_for_backward(query, key, value, output, weight)
        ctx.layout, ctx.scale = layout, scale
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, weight = ctx.saved_tensors
        (gradient,) = gradients
        results = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in (query, key, value)]
        for a, b in ctx.layout.segments:
            own = slice(a, b)
            parts = _backward(
                [tensor[:, :, own] for tensor in (gradient, query, key, value, output, weight)], True, ctx.scale
            )
            for result, part in zip(results, parts, strict=True):
                result[:, :, own] = part
        p = ctx.layout.prefix_length
        if p and ctx.layout.parts:
            behind = [tensor[:, :, p:] for tensor in (gradient, query)]
            ahead = [tensor[:, :, :p] for tensor in (key, value)]
            joined = [tensor[:, :, p:] for tensor in (output, weight)]
            d_query, d_key, d_value = _backward([*behind, *ahead, *joined], False, ctx.scale)
            results[0][:, :, p:] += d_query
            results[1][:, :, :p] += d_key
            results[2][:, :, :p] += d_value
        return (*results, None, None)


def _backward(tensors: list[Tensor], causal: bool, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        *tensors, 0.0, causal, scale=scale
    )
    return gradients


def _attention(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any) -> Any:
    active = _ACTIVE.get()
    if active is None:
        return sdpa_attention_forward(module, query, key, value, mask, **options)
    attend, fits_window = active
    if (options.get("sliding_window") and not fits_window) or options.get("softcap"):
        raise LmError("The model's attention has a window or a cap.", "Choose a model with plain full attention.")
    if options.get("s_aux") is not None or options.get("position_bias") is not None:
        raise LmError("The model's attention has sinks or a bias.", "Choose a model with plain full attention.")
    scale = options.get("scaling") or query.shape[-1] ** -0.5
    return attend(module.layer_idx, query, key, value, scale).transpose(1, 2).contiguous(), None


def _mask(*args: Any, **options: Any) -> Tensor | None:
    return None if _ACTIVE.get() is not None else sdpa_mask(*args, **options)


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, _mask)
