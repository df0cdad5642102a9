"""Whether a model may be computed over segments that share a prefix, or only one whole sequence at a time.

Sharing is exact where a token's result depends on the others through attention alone, and on places through its
position alone. The configuration tells most models that are otherwise; a small sample, computed both ways, tells the
rest.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from services.lm.decoder.hooked import HookedPass, autocast, unwrapped
from services.lm.decoder.model import lean
from services.lm.decoder.passes import LeanPass, Pass, Purpose
from services.lm.errors import LmError
from services.lm.prefix import ATTENTION, Layout, PackedTokens, Segment

# A sample: what two sequences begin with, and how long each is behind it. Longer than any convolution reaches.
_PREFIX: Final = 19
_PARTS: Final = (12, 9, 15)
# Of what they begin with, so much is computed by itself.
_TRUNK: Final = 10
# How far log-probabilities may lie apart, in nats; where numbers are coarse, on average and as a share of how much
# they vary: rounding, and far less than a leak.
_ROUNDING: Final = 1e-3
_COARSE_ROUNDING: Final = 0.1
# What models raise that cannot take positions or attention from outside.
_REFUSALS: Final = (LmError, RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError)
_SAMPLED: WeakKeyDictionary[torch.nn.Module, str] = WeakKeyDictionary()


def why_whole(model: Any, longest: int) -> str:
    """Why sequences of up to `longest` tokens must each be computed whole; "" if they may share a prefix.

    Ask between steps: the first time, a sample is computed both ways.
    """
    inner = unwrapped(model)
    reason = _configured(inner, longest)
    if reason:
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
            shared, whole = _both_ways(model)
    except _REFUSALS as error:
        return f"it cannot be computed over segments ({type(error).__name__})"
    finally:
        model.train(was_training)
    distances = (shared - whole).abs()
    if next(model.parameters()).dtype == torch.float32:
        is_equal = bool(distances.max() <= _ROUNDING)
    else:
        is_equal = bool(distances.mean() <= _COARSE_ROUNDING * whole.std())
    return "" if is_equal else "its tokens depend on others by more than attention and positions"


def _both_ways(model: Any) -> tuple[Tensor, Tensor]:
    """The log-probabilities of a sample's tokens: behind shared tokens in two steps, and each sequence alone."""
    vocabulary = min(unwrapped(model).config.get_text_config().vocab_size, 1 << 15)
    source = torch.Generator().manual_seed(0)
    ids = torch.randint(3, vocabulary, (_PREFIX + sum(_PARTS),), generator=source)
    decoder = lean(model)
    if decoder is not None:
        decoder.refresh()

    def computed(tokens: PackedTokens, before: Pass | None) -> Pass:
        purpose = Purpose(trains=False, is_trunk=before is None, entropies=False)
        return (
            HookedPass(model, tokens, before, purpose)
            if decoder is None
            else LeanPass(decoder, tokens, before, purpose)
        )

    trunk, branches = _sample(ids)
    first = computed(trunk, None)
    shared = torch.cat((first.log_probs, computed(branches, first).log_probs))
    wholes, start = [], _PREFIX
    for length in _PARTS:
        wholes.append(_alone(model, torch.cat((ids[:_PREFIX], ids[start : start + length]))))
        start += length
    return shared, torch.cat((wholes[0][: _PREFIX - 1], *(whole[_PREFIX:] for whole in wholes)))


def _alone(model: Any, ids: Tensor) -> Tensor:
    """The log-probabilities of one sequence's tokens but the first."""
    row = ids[None].to(model.device)
    with computed_whole(model), autocast(model):
        table = model(input_ids=row, use_cache=False).logits[0].float().log_softmax(-1)
    values: Tensor = table[:-1].gather(1, row[0, 1:, None])[:, 0]
    return values


def _sample(ids: Tensor) -> tuple[PackedTokens, PackedTokens]:
    """The first tokens as a trunk, and the others as segments behind it; each predicts the next within its segment."""
    segments, positions = [Segment(0, _PREFIX - _TRUNK, _TRUNK)], [*range(_TRUNK, _PREFIX)]
    for length in _PARTS:
        segments.append(Segment(len(positions), len(positions) + length, _PREFIX))
        positions += range(_PREFIX, _PREFIX + length)
    predicting = torch.tensor([at for segment in segments for at in range(segment.start, segment.end - 1)])
    places = torch.arange(_TRUNK)
    return (
        PackedTokens(ids[:_TRUNK], places, Layout(0, (Segment(0, _TRUNK, 0),)), places, ids[1 : _TRUNK + 1]),
        PackedTokens(
            ids[_TRUNK:],
            torch.tensor(positions),
            Layout(_TRUNK, tuple(segments)),
            predicting,
            ids[_TRUNK:][predicting + 1],
        ),
    )
