"""How a pass through the model attends: reading a segment, reading prompts behind a prefix, and writing tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from services.lm.decoder.blocks import Heads
from services.lm.prefix import attend_to_part, join_parts


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


# Slots whose own keys one call attends to, up to the longest of them: more waste padding, fewer take more calls
# (measured with 32 slots of 73 to 171 keys: 8 take 26 ms, all at once 33, one by one 39).
_SLOTS_AT_ONCE: Final = 8


class SegmentReader:
    """Reads the next tokens of one sequence, and keeps their keys and values in `layers`."""

    def __init__(self, heads: Heads, past: Prefix | None) -> None:
        self._heads, self._past = heads, past
        self.layers: list[Tensor] = []

    def __call__(self, layer: int, scale: float, qkv: Tensor, out: Tensor) -> None:
        """Attend causally."""
        rows = _Rows(qkv, out, self._heads, scale)
        rows.attend_causally(0, len(qkv))
        if self._past:
            rows.attend_to(self._past.layers[layer], 0, len(qkv))
        self.layers.append(rows.keys_values.contiguous())


class PromptReader:
    """Reads the last tokens of several prompts, one after another in one sequence, into the last slots of a cache."""

    def __init__(self, heads: Heads, prefix: Prefix | None, cache: SequenceCache, lengths: Sequence[int]) -> None:
        """All have joined the cache, which holds what each alone has between `prefix` and its `lengths` last tokens."""
        self._heads, self._prefix, self._cache = heads, prefix, cache
        ends = [*accumulate(lengths)]
        slots = range(len(cache.lengths) - len(lengths), len(cache.lengths))
        self._parts = tuple(zip(slots, [0, *ends[:-1]], ends, strict=True))

    def __call__(self, layer: int, scale: float, qkv: Tensor, out: Tensor) -> None:
        """Attend causally within each part, and to what comes before it."""
        rows = _Rows(qkv, out, self._heads, scale)
        for _, start, end in self._parts:
            rows.attend_causally(start, end)
        if self._prefix:
            rows.attend_to(self._prefix.layers[layer], 0, len(qkv))
        room = self._cache.layer(layer)
        for slot, start, end in self._parts:
            length = self._cache.lengths[slot]
            own = room[:, slot, :, :length]
            before = length - (end - start)
            if before:
                rows.attend_to(own[:, :, :before], start, end)
            own[:, :, before:] = rows.keys_values[:, :, start:end]


class TokenWriter:
    """The next tokens of each used slot, usually one: each sees the shared prefix, in one product for all, and its own.

    Slots that lie side by side should be of similar length.
    """

    def __init__(self, heads: Heads, prefix: Prefix | None, cache: SequenceCache, counts: Sequence[int]) -> None:
        """Slot `i` gets `counts[i]` tokens, side by side in the rows; the cache has room, its lengths are before."""
        self._heads, self._prefix, self._cache = heads, prefix, cache
        self._most, self._num_slots = max(counts), len(counts)
        device = cache.device
        self._slots = torch.arange(len(counts), device=device).repeat_interleave(torch.tensor(counts, device=device))
        self._places = torch.cat([torch.arange(count, device=device) for count in counts])
        self.positions = torch.tensor(cache.lengths, device=device)[self._slots] + self._places
        self._chunks = [self._chunk(counts, first) for first in range(0, len(counts), _SLOTS_AT_ONCE)]

    def __call__(self, layer: int, scale: float, qkv: Tensor, out: Tensor) -> None:
        """Store the new keys and values, and attend."""
        heads, num_rows = self._heads, qkv.shape[0]
        width = heads.queries * heads.size
        room = self._cache.layer(layer)
        room[:, self._slots, :, self.positions] = qkv[:, width:].view(num_rows, 2, heads.keys, heads.size)
        queries = qkv[:, :width].view(num_rows, heads.keys, heads.group, heads.size)
        by_slot = self._by_slot(queries)
        parts = [
            attend_to_part(
                by_slot[chunk.slots],
                room[0, chunk.slots, :, : chunk.length],
                room[1, chunk.slots, :, : chunk.length],
                scale,
                mask=chunk.mask,
            )
            for chunk in self._chunks
        ]
        own = self._by_row(torch.cat([output for output, _ in parts]))
        result = out.view(num_rows, heads.keys, heads.group, heads.size)
        if self._prefix is None:
            result.copy_(own)
            return
        weight = self._by_row(torch.cat([weight for _, weight in parts]).unsqueeze(-1))
        folded = queries.transpose(0, 1).reshape(1, heads.keys, -1, heads.size)
        keys_values = self._prefix.layers[layer]
        shared, shared_weight = attend_to_part(folded, keys_values[:1], keys_values[1:], scale)
        by_row = (heads.keys, num_rows, heads.group, -1)
        share = torch.sigmoid(weight - shared_weight.view(by_row).transpose(0, 1)).to(out.dtype)
        torch.lerp(shared.reshape(by_row).transpose(0, 1), own, share, out=result)

    def _chunk(self, counts: Sequence[int], first: int) -> _Chunk:
        slots = slice(first, min(first + _SLOTS_AT_ONCE, len(counts)))
        lengths, device = self._cache.lengths[slots], self._cache.device
        longest = max(length + count for length, count in zip(lengths, counts[slots], strict=True))
        last = torch.tensor(lengths, device=device)[:, None] + torch.arange(self._most, device=device)
        later = torch.arange(longest, device=device) > last[..., None]
        mask = torch.zeros(later.shape, dtype=self._cache.dtype, device=device).masked_fill_(later, float("-inf"))
        return _Chunk(slots, longest, mask.repeat_interleave(self._heads.group, 1)[:, None])

    def _by_slot(self, rows: Tensor) -> Tensor:
        """From (rows, key heads, group, any) to (slots, key heads, most tokens * group, any)."""
        if self._most == 1:
            return rows
        _, keys, group, size = rows.shape
        spread = rows.new_zeros(self._num_slots, self._most, keys, group, size)
        spread[self._slots, self._places] = rows
        return spread.transpose(1, 2).reshape(self._num_slots, keys, self._most * group, size)

    def _by_row(self, slots: Tensor) -> Tensor:
        """The way back."""
        if self._most == 1:
            return slots
        count, keys, _, size = slots.shape
        spread = slots.reshape(count, keys, self._most, -1, size).transpose(1, 2)
        return spread[self._slots, self._places]


@dataclass(frozen=True)
class _Chunk:
    """Slots side by side, the keys up to which one of them sees, and minus infinity at those that a row does not."""

    slots: slice
    length: int
    mask: Tensor


class _Rows:
    """The rows of a pass that reads, and their result, which is joined part by part."""

    def __init__(self, qkv: Tensor, out: Tensor, heads: Heads, scale: float) -> None:
        self._scale = scale
        width = heads.queries * heads.size
        by_head = (-1, heads.keys, heads.group, heads.size)
        # Heads that share a key head lie behind one another: (key heads, group, tokens, size).
        self._queries = qkv[:, :width].view(by_head).permute(1, 2, 0, 3)
        self._out = out.view(by_head).permute(1, 2, 0, 3)
        self._weight = torch.empty(self._out.shape[:-1], dtype=torch.float32, device=qkv.device)
        pairs = qkv[:, width:].view(-1, 2, heads.keys, heads.size)
        self.keys_values = pairs.permute(1, 2, 0, 3)

    def attend_causally(self, start: int, end: int) -> None:
        """Each of these rows sees those from `start` to itself."""
        queries = self._queries[:, :, start:end]
        keys, values = self.keys_values[:, :, start:end].unsqueeze(2).expand(-1, -1, queries.shape[1], -1, -1)
        output, weight = attend_to_part(queries, keys, values, self._scale, causal=True)
        self._out[:, :, start:end] = output
        self._weight[:, :, start:end] = weight

    def attend_to(self, past: Tensor, start: int, end: int) -> None:
        """These rows see all of `past` besides, (2, key heads, tokens, size)."""
        queries = self._queries[:, :, start:end]
        # Rows of a group side by side share what is read and prepared of their key head.
        folded = queries.reshape(1, len(queries), -1, queries.shape[-1])
        output, weight = attend_to_part(folded, past[:1], past[1:], self._scale)
        shape = queries.shape
        join_parts(
            self._out[:, :, start:end], self._weight[:, :, start:end], output.reshape(shape), weight.reshape(shape[:-1])
        )
