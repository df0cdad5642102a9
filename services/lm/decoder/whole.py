"""Whether a model may be computed over segments that share a prefix, or only one whole sequence at a time.

Sharing is exact where a token's result depends on the others through attention alone, and on places through its
position alone. The configuration tells most models that are otherwise; a small sample, computed both ways, tells the
rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from services.lm.decoder.model import supports
from services.lm.errors import LmError
from services.lm.prefix import ATTENTION, Layout, attending, attending_to

# A sample: what two sequences begin with, and how long each is behind it. Longer than any convolution reaches.
_PREFIX: Final = 19
_PARTS: Final = (12, 9, 15)
# How far the two ways may lie apart, as a share of how much logits vary: rounding, and far less than a leak.
_ROUNDING: Final = {torch.float32: 1e-4}
_COARSE_ROUNDING: Final = 0.05
# What models raise that cannot take positions or attention from outside.
_REFUSALS: Final = (LmError, RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError)
_SAMPLED: WeakKeyDictionary[torch.nn.Module, str] = WeakKeyDictionary()


def why_whole(model: Any, longest: int) -> str:
    """Why sequences of up to `longest` tokens must each be computed whole; "" if they may share a prefix.

    Ask between steps: a model that is not known is computed on a sample the first time.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    reason = _configured(inner, longest)
    if reason or supports(inner):
        return reason
    if inner not in _SAMPLED:
        _SAMPLED[inner] = _sampled(model)
    return _SAMPLED[inner]


@contextmanager
def computed_whole(model: Any) -> Iterator[None]:
    """Within the block `model` attends in the one way that every architecture computes completely."""
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(implementation)


def _configured(model: Any, longest: int) -> str:
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "attention"}
    window = getattr(config, "sliding_window", None)
    if getattr(config, "attn_logit_softcapping", None):
        return "its attention scores are capped"
    if kinds - {"sliding_attention"}:
        return f"its layers are not all of attention ({', '.join(sorted(kinds))})"
    if window and longest > window and (kinds or not getattr(config, "layer_types", None)):
        return f"its attention window of {window} tokens is shorter than {longest}"
    has_own = model.config._attn_implementation != ATTENTION or not model._supports_sdpa
    if has_own or getattr(model.config, "is_encoder_decoder", False):
        return "its attention is not the standard one"
    return _scaled(config, longest)


def _scaled(config: Any, longest: int) -> str:
    """Positions that are scaled by the length of the sequence, which tokens behind a shared prefix do not agree on."""
    rope = getattr(config, "rope_parameters", None) or {}
    for part in [rope, *(value for value in rope.values() if isinstance(value, dict))]:
        limit = part.get("original_max_position_embeddings") or config.max_position_embeddings
        if part.get("rope_type") in ("dynamic", "longrope") and longest > limit:
            return f"its positions are scaled by the length of sequences beyond {limit} tokens"
    return ""


def _sampled(model: Any) -> str:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            distance = _distance(model)
    except _REFUSALS as error:
        return f"it cannot be computed over segments ({type(error).__name__})"
    finally:
        model.train(was_training)
    dtype = next(model.parameters()).dtype
    if distance > _ROUNDING.get(dtype, _COARSE_ROUNDING):
        return "its tokens depend on others by more than attention and positions"
    return ""


def _distance(model: Any) -> float:
    """How far the logits behind a shared prefix are from those of each sequence alone, in shares of their spread."""
    layout, ids, positions = _sample(model)
    reduced = next(model.parameters()).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        with attending(attending_to(layout), fits_window=True):
            shared = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0].float()
        worst = 0.0
        for start, end in layout.parts:
            alone = torch.cat((ids[:, :_PREFIX], ids[:, start:end]), 1)
            with computed_whole(model):
                whole = model(input_ids=alone, use_cache=False).logits[0].float()
            pair = torch.cat((shared[:_PREFIX], shared[start:end]))
            worst = max(worst, float((pair - whole).norm() / (whole - whole.mean(0)).norm()))
    return worst if worst == worst else float("inf")


def _sample(model: Any) -> tuple[Layout, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    vocabulary = min(model.config.get_text_config().vocab_size, 1 << 15)
    ids = torch.randint(3, vocabulary, (1, _PREFIX + sum(_PARTS)), generator=source)
    parts: list[tuple[int, int]] = []
    positions = list(range(_PREFIX))
    for length in _PARTS:
        parts.append((len(positions), len(positions) + length))
        positions += range(_PREFIX, _PREFIX + length)
    return Layout(_PREFIX, tuple(parts)), ids.to(model.device), torch.tensor([positions], device=model.device)
