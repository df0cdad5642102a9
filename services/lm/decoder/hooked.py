"""A pass through transformers' own layers: any standard decoder, any device, any adapter."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from services.lm.decoder.blocks import BlockAttention, Heads, Past, behind, blocks_of, kept_bytes
from services.lm.decoder.loss import log_probs_of
from services.lm.decoder.passes import KEPT_BYTES, Pass, Purpose
from services.lm.errors import LmError
from services.lm.prefix import PackedTokens, attending


class HookedPass:
    """A pass by transformers' layers, of which only the attention is computed here."""

    def __init__(self, model: Any, tokens: PackedTokens, before: Pass | None, purpose: Purpose) -> None:
        """Compute the row; all its tokens see those of `before`. `why_whole` must say "" of the model."""
        inner, device = unwrapped(model), model.device
        self.pasts: dict[int, Past] = {}
        self._before, self._purpose = before, purpose
        self._calls: list[int] = []
        self._is_computed = False
        self._blocks = blocks_of(tokens.layout)
        rows, targets = torch.unique(tokens.predicting.to(device), return_inverse=True)
        selects = "logits_to_keep" in signature(inner.forward).parameters
        labels = tokens.labels.to(device)
        with attending(self._attend, fits_window=True), autocast(model):
            with _head_input(inner) as inputs:
                model(
                    input_ids=tokens.ids[None].to(device),
                    position_ids=tokens.positions[None].to(device),
                    use_cache=False,
                    **({"logits_to_keep": rows} if selects else {}),
                )
            self._is_computed = True
            hidden = inputs[0][0][targets if selects else rows[targets]]
            head, finish = inner.get_output_embeddings(), _finish(inner.config.get_text_config())
            self._values, self.entropies = log_probs_of(hidden, labels, head, finish, entropies=purpose.entropies)
        self.log_probs = self._values.detach().requires_grad_(purpose.trains)

    def backward(self) -> None:
        """As `Pass` says; frees what was kept."""
        gradient = self.log_probs.grad
        torch.autograd.backward([self._values], [torch.zeros_like(self._values) if gradient is None else gradient])
        self.pasts.clear()

    def _attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        call = self._call(layer)
        length, heads = query.shape[2], Heads(query.shape[1], key.shape[1], query.shape[3])
        qkv = torch.cat((query, key, value), 1)[0].transpose(0, 1).reshape(length, -1)
        past = self._before.pasts[call] if self._before else None
        # What has collected a gradient already stays, though the layer is computed again.
        own = self.pasts.get(call) or (behind(qkv.detach(), heads, past) if self._purpose.is_trunk else None)
        if own:
            self.pasts[call] = own
        attention = BlockAttention(heads, self._blocks, scale, past)
        out: Tensor = _Attention.apply(qkv, attention, own, self._keeps(call, heads, qkv.dtype))  # type: ignore[no-untyped-call]
        return out.view(1, length, heads.queries, heads.size).transpose(1, 2)

    def _call(self, layer: int) -> int:
        """Which one of the pass it is: a layer may attend several times, and all do again by activation checkpoints.

        Raises:
            LmError: It cannot be told, since layers are computed again in another order.
        """
        if not self._is_computed:
            self._calls.append(layer)
            return len(self._calls) - 1
        if self._calls.count(layer) > 1:
            raise LmError("A layer attends several times.", "Train without gradient_checkpointing.")
        return self._calls.index(layer)

    def _keeps(self, call: int, heads: Heads, dtype: torch.dtype) -> bool:
        return self._purpose.trains and (call + 1) * kept_bytes(heads, self._blocks, dtype) <= KEPT_BYTES


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, attention: BlockAttention, own: Past | None, keeps: bool) -> Tensor:
        out = qkv.new_empty(qkv.shape[0], attention.heads.queries * attention.heads.size)
        with torch.autocast(qkv.device.type, enabled=False):
            kept = [part for part in attention.forward(qkv, out) if keeps]
        ctx.save_for_backward(qkv, *kept)
        ctx.attention, ctx.own = attention, own
        return out

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        qkv, *kept = ctx.saved_tensors
        with torch.autocast(qkv.device.type, enabled=False):
            gradient = ctx.attention.backward(above[0].to(qkv.dtype), qkv, kept=kept, own=ctx.own)
        return gradient, None, None, None


def unwrapped(model: Any) -> Any:
    """The transformers model within PEFT's, if that wraps it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def autocast(model: Any) -> AbstractContextManager[Any]:
    """In which a model in bfloat16 is computed with adapters in float32; other models as the caller's says."""
    if next(model.parameters()).dtype != torch.bfloat16:
        return nullcontext()
    return torch.autocast(model.device.type, torch.bfloat16)


@contextmanager
def _head_input(model: Any) -> Iterator[list[Tensor]]:
    """Collects what goes into the model's head, whose logits are not computed meanwhile."""
    inputs: list[Tensor] = []

    def collect(_: torch.nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        inputs.append(arguments[0])
        return (arguments[0][:, :0], *arguments[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(collect)
    try:
        yield inputs
    finally:
        handle.remove()


def _finish(config: Any) -> Callable[[Tensor], Tensor]:
    """What the model does to its head's result; a sample tells where there is more."""
    factor = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:
        return lambda logits: torch.tanh(logits * factor / cap) * cap
    return lambda logits: logits * factor if factor != 1 else logits
