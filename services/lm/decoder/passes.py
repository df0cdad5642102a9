"""One row of tokens computed behind those before it, kept until its derivative is taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from services.lm.decoder.blocks import Past, behind, blocks_of, kept_bytes
from services.lm.decoder.layer import LayerState, LayerWork, layer_backward, layer_forward
from services.lm.decoder.loss import HeadPass
from services.lm.decoder.model import LeanDecoder
from services.lm.decoder.stack import Place
from services.lm.prefix import PackedTokens

# Attention probabilities that one pass keeps for the derivative; beyond it they are computed twice.
KEPT_BYTES: Final = 3 << 27


@dataclass(frozen=True)
class Purpose:
    """What a pass is computed for: a derivative, rows behind it (it is one segment then), entropies."""

    trains: bool
    is_trunk: bool
    entropies: bool


class Pass(Protocol):
    """A row of tokens, computed.

    Attributes:
        log_probs: Of the row's labels, float32; a leaf whose gradient `backward` reads.
        entropies: Likewise, or of the shape (0,).
    """

    log_probs: Tensor
    entropies: Tensor

    @property
    def pasts(self) -> Mapping[int, Past]:
        """Of a trunk, by the number of the attention: what rows behind it see."""

    def backward(self) -> None:
        """Add the gradients to the parameters' and to the past's; after those of all passes behind this one."""


class LeanPass:
    """A pass by the lean decoder."""

    def __init__(self, decoder: LeanDecoder, tokens: PackedTokens, before: Pass | None, purpose: Purpose) -> None:
        """Compute the row; all its tokens see those of `before`. Refresh the decoder first."""
        self._decoder = decoder
        self._rows, self._targets = torch.unique(tokens.predicting, return_inverse=True)
        x, angles = decoder.begin(tokens.ids, tokens.positions)
        self._layers: list[tuple[LayerWork, LayerState, Place]] = []
        empty = decoder.stack.empty if purpose.trains else Tensor.new_empty
        self.pasts: dict[int, Past] = {}
        blocks = blocks_of(tokens.layout)
        numbers = torch.bucketize(self._rows, torch.tensor([block.end for block in blocks]), right=True)
        trained = [blocks[number] for number in torch.unique_consecutive(numbers).tolist()]
        num_keeping = KEPT_BYTES // max(1, kept_bytes(decoder.heads, blocks, decoder.dtype)) if purpose.trains else 0
        for index, weights in enumerate(decoder.layers):
            past = before.pasts[index] if before else None
            # Of the last layer only what is trained on is wanted.
            is_last = index + 1 == decoder.num_layers
            wanted, rows = (trained, self._rows) if is_last else (blocks, None)
            work = LayerWork(angles, wanted, rows, past, index < num_keeping, empty)
            place = decoder.stack.top
            x, state = layer_forward(x, weights, work)
            if purpose.is_trunk:
                self.pasts[index] = behind(state.qkv, decoder.heads, past)
            if purpose.trains:
                self._layers.append((work, state, place))
        labels, head = tokens.labels, decoder.head
        self._head = HeadPass(x[self._targets], labels, head, keeps=purpose.trains, entropies=purpose.entropies)
        self.log_probs = self._head.log_probs.requires_grad_(purpose.trains)
        self.entropies = self._head.entropies

    def backward(self) -> None:
        """As `Pass` says; frees what was kept."""
        gradient = self.log_probs.grad
        rows = self._head.backward(torch.zeros_like(self.log_probs) if gradient is None else gradient)
        above = rows.new_zeros(self._rows.shape[0], rows.shape[1]).index_add_(0, self._targets, rows)
        for index in range(self._decoder.num_layers - 1, -1, -1):
            work, state, place = self._layers.pop()
            own = self.pasts.pop(index, None)
            above = layer_backward(above, state, self._decoder.layers[index], work, own, to_inputs=index > 0)
            self._decoder.stack.give_back(place)
