"""Attention where sequences share prefixes: each token sees its own sequence up to itself, and no other.

Registered with transformers under `ATTENTION`, so that any standard decoder computes it; outside `attending` the same
models attend as usual.
"""

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


# Positions `first` to `end` of a sequence, and where they lie: past tokens count first, then the row's.
Piece = tuple[int, int, int]


@dataclass(frozen=True)
class Segment:
    """Tokens `start:end` of the row, of which the first stands at `position` of its sequence."""

    start: int
    end: int
    position: int


@dataclass(frozen=True)
class Layout:
    """What each token of a row sees.

    Attributes:
        past: How many tokens precede every sequence of the row and are computed already.
        segments: Adjoining, in order. A segment continues what the ones before it last put at the positions before its
            own; so a branch of a tree of sequences stands behind the trunk, and needs not begin at another's end.
    """

    past: int
    segments: tuple[Segment, ...]

    def paths(self) -> Iterator[tuple[Segment, tuple[Piece, ...]]]:
        """Each segment, and where what it sees lies, in the order of positions; its own tokens are the last piece."""
        path: list[Piece] = [(0, self.past, 0)] if self.past else []
        for segment in self.segments:
            at = segment.position
            path = [(first, min(end, at), place) for first, end, place in path if first < at]
            path.append((at, at + segment.end - segment.start, self.past + segment.start))
            yield segment, tuple(path)


@dataclass(frozen=True)
class PackedTokens:
    """A row of tokens to be computed, and what it is trained on.

    Attributes:
        ids: Shape (length,).
        positions: Of each token in its sequence, shape (length,).
        layout: What each token sees.
        predicting: Places in the row, shape (trained,); a place may stand there several times.
        labels: The tokens that should follow there, shape (trained,).
    """

    ids: Tensor
    positions: Tensor
    layout: Layout
    predicting: Tensor
    labels: Tensor


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
