"""One pass through the model, by the lean decoder where it fits and by transformers' own layers elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from services.lm.decoder.blocks import Heads
from services.lm.decoder.model import AttendRows, LeanDecoder, Passage, lean
from services.lm.decoder.packed import PackedDecoder, can_be_packed
from services.lm.prefix import attending


class Forward(Protocol):
    """What the engine needs of a model."""

    heads: Heads
    num_layers: int
    dtype: torch.dtype
    device: torch.device

    def refresh(self) -> None:
        """Take the adapters' present values."""

    def read(self, passages: Sequence[Passage]) -> None:
        """Have the attention of each passage see all its layers; each has the bits that it has alone."""
        ...

    def logits(self, input_ids: Tensor, position_ids: Tensor, attend: AttendRows, rows: Tensor) -> Tensor:
        """The logits after the tokens at `rows`; ids and positions have the shape (1, length)."""


def forward_of(model: Any) -> Forward | None:
    """The fastest way through `model` that gives its numbers; None if its keys and values have no common form."""
    if can_be_packed(model):
        return PackedDecoder(model)
    decoder = lean(model)
    if decoder is not None:
        return _Lean(decoder)
    return through_transformers(model)


def through_transformers(model: Any) -> TransformersForward | None:
    """The way that computes any standard decoder; None if its layers do not attend all in one form."""
    heads = _heads_of(model)
    return TransformersForward(model, heads) if heads else None


class _Lean:
    def __init__(self, decoder: LeanDecoder) -> None:
        self._decoder = decoder
        self.heads, self.num_layers, self.dtype = decoder.heads, decoder.num_layers, decoder.dtype
        self.device = torch.device("cpu")
        self.refresh = decoder.refresh
        self.logits = decoder.logits

    def read(self, passages: Sequence[Passage]) -> None:
        _read_in_turn(self, passages)


class TransformersForward:
    """Any standard decoder: transformers computes the layers, and hands queries, keys and values to `attend`."""

    def __init__(self, model: Any, heads: Heads) -> None:
        """`model` was loaded by `loading.load`; PEFT may wrap it. All its layers have these heads."""
        self._model = model
        self.heads = heads
        self.num_layers = int(model.config.get_text_config().num_hidden_layers)
        self.dtype, self.device = next(model.parameters()).dtype, model.device

    def refresh(self) -> None:
        """Nothing to do: the layers read the adapters themselves."""

    def read(self, passages: Sequence[Passage]) -> None:
        """As `Forward` says."""
        _read_in_turn(self, passages)

    def logits(self, input_ids: Tensor, position_ids: Tensor, attend: AttendRows, rows: Tensor) -> Tensor:
        """As `Forward` says."""

        def attend_heads(layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
            length = query.shape[2]
            qkv = torch.cat((query, key, value), 1)[0].transpose(0, 1).reshape(length, -1)
            out = qkv.new_empty(length, self.heads.queries * self.heads.size)
            attend(layer, scale, qkv, out)
            return out.view(1, length, self.heads.queries, self.heads.size).transpose(1, 2)

        with attending(attend_heads, fits_window=True):
            output = self._model(input_ids=input_ids, position_ids=position_ids, use_cache=False, logits_to_keep=rows)
        logits: Tensor = output.logits[0]
        return logits


def _read_in_turn(forward: Forward, passages: Sequence[Passage]) -> None:
    for passage in passages:
        # A row of logits is the least that is computed.
        last = torch.tensor([passage.ids.shape[1] - 1], device=forward.device)
        forward.logits(passage.ids, passage.positions, passage.attend, last)


def _heads_of(model: Any) -> Heads | None:
    """The heads that every layer hands over, told by a pass over two tokens; None if one differs from the others."""
    shapes: list[tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = []

    def noted(layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        shapes.append((layer, tuple(query.shape), tuple(key.shape), tuple(value.shape)))
        return query.new_zeros(*query.shape[:-1], value.shape[-1])

    # Among the first ids are those of padding, which some models warn of.
    ids = torch.tensor([[3, 4]], device=model.device)
    with torch.no_grad(), attending(noted, fits_window=True):
        model(input_ids=ids, position_ids=torch.tensor([[0, 1]], device=model.device), use_cache=False)
    num_layers = model.config.get_text_config().num_hidden_layers
    _, query, key, value = shapes[0] if shapes else (0, (), (), ())
    if not shapes or shapes != [(layer, query, key, value) for layer in range(num_layers)]:
        return None
    if key != value or query[-1] != key[-1] or query[1] % key[1]:
        return None
    return Heads(query[1], key[1], query[-1])
