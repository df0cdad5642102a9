"""Attention behind a shared prefix, block by block: scores of one block fit the processor's cache.

Grouped heads are folded into the rows of their key head, so that one product serves the group: queries have the shape
(key heads, tokens * group, size), keys and values (key heads, tokens, size).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from services.lm.prefix import Layout

_MAX_BLOCK_TOKENS: Final = 320


@dataclass(frozen=True)
class Heads:
    """How many heads there are, and the number of features of each."""

    queries: int
    keys: int
    size: int

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.queries // self.keys

    @property
    def width(self) -> int:
        """Features of a token's query, key and value side by side."""
        return (self.queries + 2 * self.keys) * self.size


@dataclass(frozen=True)
class Block:
    """Tokens `start:end` of the segment at `segment`; they see `prefix` tokens and the segment up to themselves."""

    segment: int
    start: int
    end: int
    prefix: int

    @property
    def own_keys(self) -> int:
        """Keys of its own segment that the last row sees."""
        return self.end - self.segment


def blocks_of(layout: Layout) -> Iterator[Block]:
    """All rows of the sequence, each in one block; a segment's blocks are of nearly equal size."""
    for start, end in layout.segments:
        prefix = layout.prefix_length if start >= layout.prefix_length else 0
        count = -(-(end - start) // _MAX_BLOCK_TOKENS)
        edges = [start + (end - start) * step // count for step in range(count + 1)]
        for first, last in pairwise(edges):
            yield Block(start, first, last, prefix)


def attend(qkv: Tensor, heads: Heads, layout: Layout, *, scale: float, out: Tensor) -> Iterator[Tensor]:
    """Write the attention's result to `out`, shape (tokens, queries * size), block by block; yield the probabilities.

    Args:
        qkv: Rotated queries and keys, and values, side by side: shape (tokens, heads.width).
        heads: Divides the columns of `qkv`.
        layout: Covers the tokens.
        scale: Multiplies the scores.
        out: Receives the result.
    """
    columns = _Columns(qkv, heads, layout)
    for block in blocks_of(layout):
        keys, values = columns.seen(block)
        rows = columns.queries(block.start, block.end)
        probabilities = _probabilities(rows, keys, scale, block=block, group=heads.group)
        columns.unfold(torch.bmm(probabilities, values), out[block.start : block.end])
        yield probabilities


def attend_backward(
    gradient: Tensor, qkv: Tensor, heads: Heads, layout: Layout, *, scale: float, kept: list[Tensor]
) -> Tensor:
    """The gradient with respect to `qkv`, from that of `attend`'s result.

    `kept` holds the probabilities that `attend` yielded; if it is empty, they are computed again.
    """
    columns = _Columns(qkv, heads, layout)
    result = torch.empty_like(qkv)
    totals = torch.zeros(2, heads.keys, qkv.shape[0], heads.size)
    for index, block in enumerate(blocks_of(layout)):
        keys, values = columns.seen(block)
        rows = columns.queries(block.start, block.end)
        again = None if kept else _probabilities(rows, keys, scale, block=block, group=heads.group)
        probabilities = kept[index] if again is None else again
        above = columns.fold(gradient[block.start : block.end], heads.group)
        slopes = torch.bmm(above, values.transpose(1, 2))
        torch.ops.aten._softmax_backward_data.out(slopes, probabilities, -1, qkv.dtype, grad_input=slopes)
        _scatter(totals[0], torch.bmm(slopes.transpose(1, 2), rows), block, scale)
        _scatter(totals[1], torch.bmm(probabilities.transpose(1, 2), above), block, 1.0)
        columns.unfold(torch.bmm(slopes, keys).mul_(scale), result[block.start : block.end, : columns.query_width])
    for index in (0, 1):
        start = columns.query_width + index * columns.key_width
        target = result[:, start : start + columns.key_width].view(-1, heads.keys, heads.size)
        target.copy_(totals[index].transpose(0, 1))
    return result


def kept_bytes(heads: Heads, layout: Layout, dtype: torch.dtype) -> int:
    """Memory of all probabilities that `attend` yields for one layer."""
    seen = sum((block.end - block.start) * (block.prefix + block.own_keys) for block in blocks_of(layout))
    return seen * heads.queries * dtype.itemsize


class _Columns:
    """Views of `qkv`, with the prefix's keys and values followed by room for one segment's."""

    def __init__(self, qkv: Tensor, heads: Heads, layout: Layout) -> None:
        self._qkv, self._heads = qkv, heads
        self.query_width, self.key_width = heads.queries * heads.size, heads.keys * heads.size
        self._prefix = layout.prefix_length
        longest = max(end - start for start, end in layout.segments)
        self._room = torch.empty(2, heads.keys, self._prefix + longest, heads.size, dtype=qkv.dtype)
        self._filled: int | None = None
        if self._prefix:
            self._copy(0, self._prefix, 0)

    def seen(self, block: Block) -> tuple[Tensor, Tensor]:
        """Keys and values that the block's last row sees."""
        if block.prefix or not self._prefix:
            if self._filled != block.segment:
                end = block.segment + self._room.shape[2] - self._prefix
                self._copy(block.segment, min(end, self._qkv.shape[0]), self._prefix)
                self._filled = block.segment
            seen = self._room[:, :, : block.prefix + block.own_keys]
        else:
            seen = self._room[:, :, : block.own_keys]
        return seen[0], seen[1]

    def queries(self, start: int, end: int) -> Tensor:
        return self.fold(self._qkv[start:end, : self.query_width], self._heads.group)

    def fold(self, rows: Tensor, group: int) -> Tensor:
        """From (tokens, heads * size) to (key heads, tokens * group, size)."""
        tokens, heads = rows.shape[0], self._heads
        return rows.view(tokens, heads.keys, group, heads.size).transpose(0, 1).reshape(heads.keys, -1, heads.size)

    def unfold(self, folded: Tensor, out: Tensor) -> None:
        heads = self._heads
        spread = out.view(out.shape[0], heads.keys, heads.group, heads.size)
        spread.copy_(folded.view(heads.keys, out.shape[0], heads.group, heads.size).transpose(0, 1))

    def _copy(self, start: int, end: int, at: int) -> None:
        pairs = self._qkv[start:end, self.query_width :].view(end - start, 2, self._heads.keys, self._heads.size)
        self._room[:, :, at : at + end - start] = pairs.permute(1, 2, 0, 3)


def _probabilities(rows: Tensor, keys: Tensor, scale: float, *, block: Block, group: int) -> Tensor:
    scores = torch.empty(rows.shape[0], rows.shape[1], keys.shape[1], dtype=rows.dtype)
    torch.baddbmm(scores, rows, keys.transpose(1, 2), beta=0, alpha=scale, out=scores)
    length = block.end - block.start
    scores[:, :, -length:] += _later(length, group, rows.dtype)
    return torch.softmax(scores, -1, out=scores)


@lru_cache(maxsize=64)
def _later(length: int, group: int, dtype: torch.dtype) -> Tensor:
    """Minus infinity where a key comes after the row's token; shape (length * group, length)."""
    mask = torch.full((length, length), float("-inf"), dtype=dtype).triu_(1)
    return mask.repeat_interleave(group, dim=0)


def _scatter(total: Tensor, share: Tensor, block: Block, scale: float) -> None:
    """Add a block's share of the keys' gradient, in float32, where the keys lie in the sequence."""
    if block.prefix:
        total[:, : block.prefix].add_(share[:, : block.prefix], alpha=scale)
    total[:, block.segment : block.end].add_(share[:, block.prefix :], alpha=scale)
