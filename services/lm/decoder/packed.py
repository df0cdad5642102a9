"""A frozen model's layers for generation: weights packed for the processor, products fused with what follows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from services.lm.decoder import kernels
from services.lm.decoder.blocks import Heads
from services.lm.decoder.model import AttendRows, Passage, supports

# Packing depends little on the number of rows; this many are typical of writing.
_ROWS: Final = 32


class Product:
    """`x W^T + b`, alone or with one element-wise step; packed by oneDNN where it can, else torch's own."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Copy the weight, shape (outputs, inputs), into the packed form."""
        self._packs = _can_pack(weight.dtype)
        self._bias = bias
        # Private operators of torch, those that its own compiler emits; the pinned version has them.
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS) if self._packs else weight

    def __call__(self, x: Tensor, activation: str = "none") -> Tensor:
        """The product of contiguous `x`, shape (rows, inputs); `activation` is "none" or "swish"."""
        if self._packs:
            result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, activation, [], "")
            return result
        product = functional.linear(x, self._weight, self._bias)
        return functional.silu(product) if activation == "swish" else product

    def joined(self, x: Tensor, other: Tensor, operation: str) -> Tensor:
        """The product added to `other` ("add") or multiplied by it ("mul")."""
        if self._packs:
            binary = torch.ops.mkldnn._linear_pointwise.binary
            result: Tensor = binary(x, other, self._weight, self._bias, operation)
            return result
        product = functional.linear(x, self._weight, self._bias)
        return product.add_(other) if operation == "add" else product.mul_(other)


@dataclass(frozen=True)
class _Layer:
    attention_norm: Tensor
    feed_norm: Tensor
    scale: float
    qkv: Product
    output: Product
    gate: Product
    up: Product
    down: Product


class PackedDecoder:
    """Computes logits like `LeanDecoder.logits`, from a copy of the weights; several threads may call it at once."""

    def __init__(self, model: Any) -> None:
        """Copy the weights of a causal language model that `can_be_packed`."""
        self._decoder, self._eps = model.model, float(model.config.rms_norm_eps)
        config, first = model.config, model.model.layers[0].self_attn
        self.heads = Heads(config.num_attention_heads, config.num_key_value_heads, first.head_dim)
        self.device = model.device
        self.num_layers = len(model.model.layers)
        self.dtype: torch.dtype = model.lm_head.weight.dtype
        self._layers = [_packed(layer) for layer in model.model.layers]
        self._head = Product(model.lm_head.weight, model.lm_head.bias)

    def refresh(self) -> None:
        """Nothing to do: the weights are frozen and no adapter is left unmerged."""

    def read(self, passages: Sequence[Passage]) -> None:
        """Have the attention of each passage see all its layers; a layer's weights are fetched once for all passages.

        Each has the bits that it has alone.
        """
        begun = [self._begin(passage.ids, passage.positions) for passage in passages]
        rows, angles = [x for x, _ in begun], [turned for _, turned in begun]
        for index, layer in enumerate(self._layers):
            for place, passage in enumerate(passages):
                attend = partial(passage.attend, index, layer.scale)
                rows[place] = self._layer(rows[place], layer, angles[place], attend)

    def logits(self, input_ids: Tensor, position_ids: Tensor, attend: AttendRows, rows: Tensor) -> Tensor:
        """As `LeanDecoder.logits`."""
        x, angles = self._begin(input_ids, position_ids)
        for index, layer in enumerate(self._layers):
            x = self._layer(x, layer, angles, partial(attend, index, layer.scale))
        if rows.shape[0] != x.shape[0]:
            x = x[rows]
        return self._head(self._normed(x, self._decoder.norm.weight))

    def _begin(self, input_ids: Tensor, position_ids: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x = self._decoder.embed_tokens(input_ids)[0]
        cos, sin = self._decoder.rotary_emb(x[None], position_ids=position_ids)
        half = cos.shape[-1] // 2
        return x, (cos[0, :, None, :half].contiguous(), sin[0, :, None, :half].contiguous())

    def _layer(self, x: Tensor, layer: _Layer, angles: tuple[Tensor, Tensor], attend: Any) -> Tensor:
        heads = self.heads
        qkv = layer.qkv(self._normed(x, layer.attention_norm))
        kernels.rotate(qkv, heads.rotated, *angles)
        attended = torch.empty(x.shape[0], heads.queries * heads.size, dtype=x.dtype)
        attend(qkv, attended)
        x = layer.output.joined(attended, x, "add")
        normed = self._normed(x, layer.feed_norm)
        return layer.down.joined(layer.up.joined(normed, layer.gate(normed, "swish"), "mul"), x, "add")

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        normed = torch.empty_like(x)
        kernels.rms_norm(x, weight, self._eps, normed)
        return normed


def can_be_packed(model: Any) -> bool:
    """Whether it has Llama's structure, lies on the CPU, and has no adapter that is not merged."""
    return supports(model) and not any("lora_" in name for name, _ in model.named_parameters())


def _can_pack(dtype: torch.dtype) -> bool:
    if not torch._C._has_mkldnn or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def _packed(layer: Any) -> _Layer:
    attention, feed = layer.self_attn, layer.mlp
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    weight = torch.cat([part.weight for part in parts])
    bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
    return _Layer(
        layer.input_layernorm.weight,
        layer.post_attention_layernorm.weight,
        float(attention.scaling),
        Product(weight, bias),
        *(Product(m.weight, m.bias) for m in (attention.o_proj, feed.gate_proj, feed.up_proj, feed.down_proj)),
    )
