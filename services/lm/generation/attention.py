"""How a pass through the model attends: reading a segment, reading prompts behind a prefix, and writing tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.lm.decoder.blocks import Heads, attend
from services.lm.generation.cache import Prefix, SequenceCache
from services.lm.prefix import Layout


class SegmentReader:
    """Reads the next tokens of one sequence, and keeps their keys and values in `layers`."""

    def __init__(self, heads: Heads, length: int, past: Prefix | None) -> None:
        """For `length` tokens behind `past`."""
        self._heads, self._past = heads, past
        self._layout = Layout(0, ((0, length),))
        self.layers: list[Tensor] = []

    def __call__(self, layer: int, scale: float, qkv: Tensor, out: Tensor) -> None:
        """Attend causally."""
        past = self._past.layers[layer] if self._past else None
        for _ in attend(qkv, self._heads, self._layout, scale=scale, out=out, past=past):
            pass
        self.layers.append(_keys_values(qkv, self._heads).contiguous())


@dataclass(frozen=True)
class Joining:
    """A sequence whose last prompt tokens are to be read: how many, and what it alone has before them."""

    length: int
    own: Prefix | None = None


class PromptReader:
    """Reads the last parts of several prompts, one after another in one sequence, into the last slots of a cache."""

    def __init__(self, heads: Heads, prefix: Prefix | None, cache: SequenceCache, joining: Sequence[Joining]) -> None:
        """Those without an `own` beginning come first, and all have joined the cache; an `own` includes `prefix`."""
        ends = torch.tensor([sequence.length for sequence in joining]).cumsum(0).tolist()
        self._heads, self._prefix, self._cache, self._joining = heads, prefix, cache, joining
        self._parts = tuple(zip([0, *ends[:-1]], ends, strict=True))
        self._num_plain = sum(sequence.own is None for sequence in joining)
        self._first_slot = len(cache.lengths) - len(joining)

    def __call__(self, layer: int, scale: float, qkv: Tensor, out: Tensor) -> None:
        """Attend causally within each part, and to what comes before it."""
        past = self._prefix.layers[layer] if self._prefix else None
        plain = self._parts[: self._num_plain]
        if plain:
            end = plain[-1][1]
            for _ in attend(qkv[:end], self._heads, Layout(0, plain), scale=scale, out=out[:end], past=past):
                pass
        for place, (start, end) in enumerate(self._parts):
            own = self._joining[place].own
            if own is not None:
                alone = Layout(0, ((0, end - start),))
                rows = qkv[start:end]
                for _ in attend(rows, self._heads, alone, scale=scale, out=out[start:end], past=own.layers[layer]):
                    pass
            slot, length = self._first_slot + place, self._cache.lengths[self._first_slot + place]
            room = self._cache.layer(layer, length)
            room[:, slot, :, length - (end - start) :] = _keys_values(qkv[start:end], self._heads)


class TokenWriter:
    """The next tokens of each used slot, usually one: each sees the shared prefix, in one product for all, and its own.

    Scores of the prefix and of own tokens lie side by side, so that one softmax covers both.
    """

    def __init__(self, heads: Heads, prefix: Prefix | None, cache: SequenceCache, counts: Sequence[int]) -> None:
        """Slot `i` gets `counts[i]` tokens, side by side in the rows; the cache has room, its lengths are before."""
        self._heads, self._prefix, self._cache = heads, prefix, cache
        self._shared = prefix.length if prefix else 0
        self._most, self._num_slots = max(counts), len(counts)
        self._slots = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        self._places = torch.cat([torch.arange(count) for count in counts])
        self.positions = torch.tensor(cache.lengths)[self._slots] + self._places
        self._length = max(length + count for length, count in zip(cache.lengths, counts, strict=True))
        later = torch.arange(self._length)[None] > self.positions[:, None]
        self._mask = later[None, :, None] if bool(later.any()) else None

    def __call__(self, layer: int, scale: float, qkv: Tensor, out: Tensor) -> None:
        """Store the new keys and values, and attend."""
        heads, rows = self._heads, qkv.shape[0]
        width = heads.queries * heads.size
        room = self._cache.layer(layer, self._length)
        new = qkv[:, width:].view(rows, 2, heads.keys, heads.size)
        room[:, self._slots, :, self.positions] = new
        queries = (qkv[:, :width] * scale).view(rows, heads.keys, heads.group, heads.size)
        # Keys times queries: the room's slots don't adjoin, and for such the other order is four times slower.
        own = torch.matmul(room[0], self._by_slot(queries).transpose(2, 3)).transpose(2, 3)
        scores = torch.empty(heads.keys, rows, heads.group, self._shared + self._length, dtype=qkv.dtype)
        target = scores[..., self._shared :]
        target.copy_(self._by_row(own).transpose(0, 1))
        if self._mask is not None:
            target.masked_fill_(self._mask, float("-inf"))
        folded = scores.view(heads.keys, rows * heads.group, -1)
        keys_values = self._prefix.layers[layer] if self._prefix else None
        if keys_values is not None:
            rows_first = queries.transpose(0, 1).reshape(heads.keys, -1, heads.size)
            torch.bmm(rows_first, keys_values[0].transpose(1, 2), out=folded[..., : self._shared])
        torch.softmax(folded, -1, out=folded)
        seen = self._by_row(torch.matmul(self._by_slot(target.transpose(0, 1)), room[1]))
        result = out.view(rows, heads.keys, heads.group, heads.size)
        if keys_values is None:
            result.copy_(seen)
            return
        shared = torch.bmm(folded[..., : self._shared], keys_values[1])
        torch.add(seen, shared.view(heads.keys, rows, heads.group, heads.size).transpose(0, 1), out=result)

    def _by_slot(self, rows: Tensor) -> Tensor:
        """From (rows, key heads, group, any) to (slots, key heads, most tokens * group, any)."""
        if self._most == 1:
            return rows
        _, keys, group, size = rows.shape
        spread = torch.zeros(self._num_slots, self._most, keys, group, size, dtype=rows.dtype)
        spread[self._slots, self._places] = rows
        return spread.transpose(1, 2).reshape(self._num_slots, keys, self._most * group, size)

    def _by_row(self, slots: Tensor) -> Tensor:
        """The way back."""
        if self._most == 1:
            return slots
        count, keys, _, size = slots.shape
        spread = slots.view(count, keys, self._most, -1, size).transpose(1, 2)
        return spread[self._slots, self._places]


def _keys_values(qkv: Tensor, heads: Heads) -> Tensor:
    """Shape (2, key heads, tokens, size)."""
    pairs = qkv[:, heads.queries * heads.size :].view(-1, 2, heads.keys, heads.size)
    return pairs.permute(1, 2, 0, 3)
