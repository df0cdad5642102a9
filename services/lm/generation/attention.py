"""How a pass through the model attends: reading a prefix, reading prompts behind it, and writing one token each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from services.lm.decoder.blocks import Heads, attend
from services.lm.generation.cache import Prefix, SequenceCache
from services.lm.prefix import Layout


class PrefixReader:
    """Reads one sequence from its start, and keeps its keys and values."""

    def __init__(self, heads: Heads, length: int) -> None:
        """For a prefix of `length` tokens."""
        self._heads, self._length = heads, length
        self._layers: list[Tensor] = []

    def __call__(self, layer: int, scale: float, qkv: Tensor, out: Tensor) -> None:
        """Attend causally."""
        layout = Layout(0, ((0, self._length),))
        for _ in attend(qkv, self._heads, layout, scale=scale, out=out):
            pass
        self._layers.append(_keys_values(qkv, self._heads).contiguous())

    def prefix(self) -> Prefix:
        """What was read."""
        return Prefix(self._length, tuple(self._layers))


class PromptReader:
    """Reads the own parts of several prompts, one after another in one sequence, into the last slots of a cache."""

    def __init__(self, heads: Heads, prefix: Prefix | None, cache: SequenceCache, lengths: Sequence[int]) -> None:
        """`lengths` are the own parts', and have joined the cache already."""
        ends = torch.tensor(lengths).cumsum(0).tolist()
        self._heads, self._prefix, self._cache = heads, prefix, cache
        self._layout = Layout(0, tuple(zip([0, *ends[:-1]], ends, strict=True)))
        self._first_slot = len(cache.lengths) - len(lengths)

    def __call__(self, layer: int, scale: float, qkv: Tensor, out: Tensor) -> None:
        """Attend causally within each part, and to the prefix."""
        past = self._prefix.layers[layer] if self._prefix else None
        for _ in attend(qkv, self._heads, self._layout, scale=scale, out=out, past=past):
            pass
        for offset, (start, end) in enumerate(self._layout.parts):
            room = self._cache.layer(layer, end - start)
            room[:, self._first_slot + offset] = _keys_values(qkv[start:end], self._heads)


class TokenWriter:
    """One new token per used slot: each sees the shared prefix, in one product for all, and its own tokens."""

    def __init__(self, heads: Heads, prefix: Prefix | None, cache: SequenceCache) -> None:
        """The cache has room for one more token per slot; lengths are those before it."""
        self._heads, self._prefix, self._cache = heads, prefix, cache
        self._positions = torch.tensor(cache.lengths)
        self._slots = torch.arange(len(cache.lengths))
        self._length = max(cache.lengths) + 1
        later = torch.arange(self._length)[None] > self._positions[:, None]
        self._mask = torch.zeros(later.shape).masked_fill_(later, float("-inf"))[:, None, None]
        self._even = not bool(later.any())

    def __call__(self, layer: int, scale: float, qkv: Tensor, out: Tensor) -> None:
        """Store the new keys and values, and attend."""
        heads, slots = self._heads, qkv.shape[0]
        room = self._cache.layer(layer, self._length)
        new = qkv[:, heads.queries * heads.size :].view(slots, 2, heads.keys, heads.size).transpose(0, 1)
        room[:, self._slots, :, self._positions] = new.transpose(0, 1)
        queries = qkv[:, : heads.queries * heads.size].view(slots, heads.keys, heads.group, heads.size)
        # Keys times queries: with few queries per key head the other order is many times slower in bfloat16.
        own = torch.matmul(room[0], queries.transpose(2, 3)).transpose(2, 3).float().mul_(scale)
        if not self._even:
            own += self._mask
        target = out.view(slots, heads.keys, heads.group, heads.size)
        if self._prefix is None:
            target.copy_(torch.matmul(torch.softmax(own, -1).to(qkv.dtype), room[1]))
            return
        folded = queries.transpose(0, 1).reshape(heads.keys, -1, heads.size)
        keys, values = self._prefix.layers[layer]
        shared = torch.bmm(folded, keys.transpose(1, 2)).float().mul_(scale)
        shape = (heads.keys, slots, heads.group, self._prefix.length)
        both = torch.softmax(torch.cat((shared.view(shape).transpose(0, 1), own), -1), -1).to(qkv.dtype)
        folded = both[..., : self._prefix.length].transpose(0, 1).reshape(heads.keys, -1, self._prefix.length)
        seen = torch.bmm(folded, values).view(heads.keys, slots, heads.group, heads.size).transpose(0, 1)
        torch.add(torch.matmul(both[..., self._prefix.length :], room[1]), seen, out=target)


def _keys_values(qkv: Tensor, heads: Heads) -> Tensor:
    """Shape (2, key heads, tokens, size)."""
    pairs = qkv[:, heads.queries * heads.size :].view(-1, 2, heads.keys, heads.size)
    return pairs.permute(1, 2, 0, 3)
