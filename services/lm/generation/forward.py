"""One pass through the model, by the lean decoder where it fits and by transformers' own layers elsewhere."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from services.lm.decoder.blocks import Heads
from services.lm.decoder.model import AttendRows, LeanDecoder, lean
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

    def logits(self, input_ids: Tensor, position_ids: Tensor, attend: AttendRows, rows: Tensor) -> Tensor:
        """The logits after the tokens at `rows`; ids and positions have the shape (1, length)."""


def forward_of(model: Any) -> Forward:
    """The fastest way through `model` that gives its numbers."""
    if can_be_packed(model):
        return PackedDecoder(model)
    decoder = lean(model)
    return TransformersForward(model) if decoder is None else _Lean(decoder)


class _Lean:
    def __init__(self, decoder: LeanDecoder) -> None:
        self._decoder = decoder
        self.heads, self.num_layers, self.dtype = decoder.heads, decoder.num_layers, decoder.dtype
        self.device = torch.device("cpu")
        self.refresh = decoder.refresh
        self.logits = decoder.logits


class TransformersForward:
    """Any standard decoder: transformers computes the layers, and hands queries, keys and values to `attend`."""

    def __init__(self, model: Any) -> None:
        """`model` was loaded by `loading.load`; PEFT may wrap it."""
        config = model.config.get_text_config()
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._model = model
        self.heads = Heads(config.num_attention_heads, config.num_key_value_heads, size)
        self.num_layers = int(config.num_hidden_layers)
        self.dtype, self.device = next(model.parameters()).dtype, model.device

    def refresh(self) -> None:
        """Nothing to do: the layers read the adapters themselves."""

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
