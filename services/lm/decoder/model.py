"""A transformers model seen as lean layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from services.lm.decoder import kernels
from services.lm.decoder.blocks import Heads
from services.lm.decoder.compiled import DTYPES
from services.lm.decoder.layer import Angles, LayerWeights, layer_output
from services.lm.decoder.linear import JoinedLinear, LinearPart
from services.lm.decoder.loss import Head
from services.lm.decoder.stack import Stack

AttendRows = Callable[[int, float, Tensor, Tensor], None]


@dataclass(frozen=True)
class Passage:
    """Tokens to be read: ids and positions, both of the shape (1, length), and what computes their attention."""

    ids: Tensor
    positions: Tensor
    attend: AttendRows


_FAMILY: Final = frozenset({"llama", "qwen2", "mistral"})
_KNOWN: WeakKeyDictionary[nn.Module, tuple[tuple[int, ...], LeanDecoder]] = WeakKeyDictionary()


class LeanDecoder:
    """The lean form of one model; its base weights are the model's, its adapters are read anew for each pass.

    Attributes:
        stack: Memory for what passes keep for their derivative.
    """

    def __init__(self, decoder: Any, head: nn.Linear) -> None:
        """Take the weights of transformers' `decoder`; use `supports` first."""
        self._decoder, self._head = decoder, head
        self.stack = Stack()
        self._layers = [_layer_weights(layer, decoder.config) for layer in decoder.layers]

    @property
    def heads(self) -> Heads:
        """The layers' heads."""
        return self._layers[0].heads

    @property
    def num_layers(self) -> int:
        """The number of layers."""
        return len(self._layers)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        dtype: torch.dtype = self._layers[0].attention_norm.dtype
        return dtype

    def refresh(self) -> None:
        """Take the adapters' present values."""
        for layer in self._layers:
            for product in layer.products:
                product.refresh()

    @property
    def layers(self) -> list[LayerWeights]:
        """The layers' weights."""
        return self._layers

    @property
    def head(self) -> Head:
        """What follows the layers."""
        return Head(self._decoder.norm.weight, self._eps, self._head.weight)

    def begin(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Angles]:
        """The first layer's input and the rotations, of tokens and their positions, both of the shape (length,)."""
        x: Tensor = self._decoder.embed_tokens(ids[None])[0].detach()
        return x, self._angles(x, positions[None])

    def logits(self, input_ids: Tensor, position_ids: Tensor, attend: AttendRows, rows: Tensor) -> Tensor:
        """The logits after the tokens at `rows`, shape (rows, vocabulary), without a derivative.

        `attend(layer, scale, qkv, out)` computes the attention of all tokens; ids and positions are (1, length).
        """
        x = self._decoder.embed_tokens(input_ids)[0]
        angles = self._angles(x, position_ids)
        for index, layer in enumerate(self._layers):
            x = layer_output(x, angles, layer, partial(attend, index, layer.scale))
        x = x[rows]
        normed = torch.empty_like(x)
        kernels.rms_norm(x, self._decoder.norm.weight, self._eps, normed)
        return torch.nn.functional.linear(normed, self._head.weight)

    @property
    def _eps(self) -> float:
        return float(self._decoder.config.rms_norm_eps)

    def _angles(self, x: Tensor, position_ids: Tensor) -> Angles:
        cos, sin = self._decoder.rotary_emb(x[None], position_ids=position_ids)
        half = cos.shape[-1] // 2
        return Angles(cos[0, :, None, :half].contiguous(), sin[0, :, None, :half].contiguous())


def lean(model: Any) -> LeanDecoder | None:
    """The lean form of a causal language model, possibly wrapped by PEFT; None when only transformers can compute it.

    It is kept with the model until its parameters are others. Base weights are taken to be frozen.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    parameters = tuple(id(parameter) for parameter in inner.parameters())
    entry = _KNOWN.get(inner)
    if not supports(inner):
        forget(inner)
        return None
    if entry is None or entry[0] != parameters:
        entry = _KNOWN[inner] = parameters, LeanDecoder(inner.model, inner.lm_head)
    return entry[1]


def forget(model: nn.Module) -> None:
    """Drop the lean form of the unwrapped `model`."""
    _KNOWN.pop(model, None)


def supports(model: Any) -> bool:
    """Whether the lean form gives this model's numbers: Llama's structure, frozen, plain LoRA in its layers alone."""
    config = model.config
    if config.model_type not in _FAMILY or config.hidden_act != "silu" or getattr(config, "sliding_window", None):
        return False
    if model.dtype not in DTYPES:
        return False
    if getattr(config, "attention_dropout", 0.0) or getattr(config, "mlp_bias", False) or _has_adapter(model.lm_head):
        return False
    parameters = model.named_parameters()
    if any(p.requires_grad and "lora_" not in name for name, p in parameters) or model.device.type != "cpu":
        return False
    return all(_is_plain(module) for module in model.modules() if _has_adapter(module))


def _has_adapter(module: Any) -> bool:
    """Whether it is a PEFT LoRA layer, told without importing PEFT, which takes longer than loading a small model."""
    return hasattr(module, "lora_A") and hasattr(module, "get_base_layer")


def _is_plain(module: Any) -> bool:
    names = list(module.lora_A)
    if names != ["default"] or module.merged or module.use_dora["default"]:
        return False
    dropout = module.lora_dropout["default"]
    return isinstance(dropout, nn.Identity) or dropout.p == 0


def _layer_weights(layer: Any, config: Any) -> LayerWeights:
    attention, feed = layer.self_attn, layer.mlp
    heads = Heads(config.num_attention_heads, config.num_key_value_heads, attention.head_dim)
    return LayerWeights(
        heads=heads,
        scale=float(attention.scaling),
        eps=float(config.rms_norm_eps),
        attention_norm=layer.input_layernorm.weight,
        feed_norm=layer.post_attention_layernorm.weight,
        qkv=_joined((attention.q_proj, attention.k_proj, attention.v_proj)),
        output=_joined((attention.o_proj,)),
        gate_up=_joined((feed.gate_proj, feed.up_proj)),
        down=_joined((feed.down_proj,)),
    )


def _joined(modules: Iterable[Any]) -> JoinedLinear:
    return JoinedLinear([_part(module) for module in modules])


def _part(module: Any) -> LinearPart:
    if not _has_adapter(module):
        return LinearPart(module.weight, module.bias, None, None, 0.0, lambda: False)
    base, down, up = module.get_base_layer(), module.lora_A["default"], module.lora_B["default"]
    scaling = float(module.scaling["default"])
    return LinearPart(base.weight, base.bias, down.weight, up.weight, scaling, lambda: not module.disable_adapters)
