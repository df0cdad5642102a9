"""Keys and values: of a prefix that a batch shares, and of the sequences behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.lm.decoder.blocks import Heads


@dataclass(frozen=True)
class Prefix:
    """The keys and values of a prompt's beginning, per layer of the shape (2, key heads, length, size)."""

    length: int
    layers: tuple[Tensor, ...]


class SequenceCache:
    """Room for the own keys and values of up to `num_slots` sequences; slots `0 … len(lengths) - 1` are in use."""

    def __init__(
        self, heads: Heads, num_layers: int, num_slots: int, most: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Room grows with the sequences, none of which becomes longer than `most` tokens."""
        self.dtype, self.device = dtype, device
        self._room = torch.zeros(num_layers, 2, num_slots, heads.keys, 0, heads.size, dtype=dtype, device=device)
        self._most = most
        self.lengths: list[int] = []

    @staticmethod
    def token_bytes(heads: Heads, num_layers: int, dtype: torch.dtype) -> int:
        """Memory per token of a sequence."""
        return num_layers * 2 * heads.keys * heads.size * dtype.itemsize

    def layer(self, index: int) -> Tensor:
        """Keys and values of all slots, shape (2, slots, key heads, tokens there is room for, size)."""
        return self._room[index]

    def reserve(self, length: int) -> None:
        """Make room for sequences of this many own tokens, by half as much again where it may be needed."""
        shape = list(self._room.shape)
        if length <= shape[4]:
            return
        shape[4] = min(length + length // 2 + 32, self._most)
        larger = self._room.new_zeros(shape)
        larger[:, :, :, :, : self._room.shape[4]] = self._room
        self._room = larger

    def join(self, lengths: Sequence[int]) -> None:
        """Use further slots for sequences of these lengths, whose keys and values are to be written."""
        self.reserve(max(lengths))
        self.lengths += lengths

    def fill(self, slot: int, start: int, layers: Sequence[Tensor]) -> None:
        """Copy keys and values, per layer of the shape (2, key heads, length, size), to the slot from `start` on."""
        for index, layer in enumerate(layers):
            self._room[index, :, slot, :, start : start + layer.shape[2]] = layer

    def leave(self, slot: int) -> None:
        """Free the slot; the last used one moves into it."""
        last = len(self.lengths) - 1
        length = self.lengths.pop()
        if slot != last:
            self._room[:, :, slot, :, :length] = self._room[:, :, last, :, :length]
            self.lengths[slot] = length
