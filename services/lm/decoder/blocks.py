"""Attention within a tree of sequences, block by block: scores of one block fit the processor's cache.

Grouped heads are folded into the rows of their key head, so that one product serves the group: queries have the shape
(key heads, tokens * group, size), keys and values (key heads, tokens, size).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from services.lm.decoder.linear import Empty
from services.lm.decoder.softmax import Sight, softmax, softmax_backward
from services.lm.prefix import Layout, Piece, Segment

_MAX_BLOCK_TOKENS: Final = 384
# Products of a number of keys that this divides take half the time of others (measured, AMX).
_ALIGNMENT: Final = 32


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
    def rotated(self) -> int:
        """Heads of queries and keys, which positions rotate; they stand before the values."""
        return self.queries + self.keys

    @property
    def width(self) -> int:
        """Features of a token's query, key and value side by side."""
        return (self.queries + 2 * self.keys) * self.size


@dataclass(frozen=True)
class Block:
    """Tokens `start:end` of the row, whose first is at `position`; short segments that stand together share a block.

    Attributes:
        start: First token.
        end: Behind the last token.
        position: Keys that all of them see; behind those stand their own.
        path: Where the keys lie, one piece behind the other.
        lengths: Of the segments; a token sees its own segment up to itself.
    """

    start: int
    end: int
    position: int
    path: tuple[Piece, ...]
    lengths: tuple[int, ...]

    @property
    def num_keys(self) -> int:
        """Keys that any row sees."""
        return self.position + self.end - self.start

    @property
    def width(self) -> int:
        """Columns of the block's scores: those keys, and some that no row sees."""
        return _aligned(self.num_keys)


class Past:
    """Keys and values of the tokens before a row's, of one layer; collects their gradient in float32."""

    def __init__(self, values: Tensor) -> None:
        """`values`: shape (2, key heads, tokens, size), the rotated keys first."""
        self.values = values
        self._gradient: Tensor | None = None

    @property
    def length(self) -> int:
        """The number of tokens."""
        return self.values.shape[2]

    @property
    def gradient(self) -> Tensor:
        """What was collected so far, shape (2, key heads, size, tokens); to be added to in place."""
        if self._gradient is None:
            shape = self.values.transpose(2, 3).shape
            self._gradient = torch.zeros(shape, dtype=torch.float32, device=self.values.device)
        return self._gradient


def blocks_of(layout: Layout) -> list[Block]:
    """All rows of the sequence, each in one block; a long segment's blocks are of nearly equal size."""
    blocks: list[Block] = []
    for segment, path in layout.paths():
        length = segment.end - segment.start
        if blocks and (joined := _joined(blocks[-1], segment, path)):
            blocks[-1] = joined
            continue
        count = -(-length // _MAX_BLOCK_TOKENS)
        edges = [length * step // count for step in range(count + 1)]
        for first, last in pairwise(edges):
            place = segment.start + first
            blocks.append(Block(place, segment.start + last, segment.position + first, path, (last - first,)))
    return blocks


def _joined(block: Block, segment: Segment, path: tuple[Piece, ...]) -> Block | None:
    """The block with another segment that stands behind the same tokens, if it has room."""
    first, _, place = block.path[-1]
    size = segment.end - block.start
    stands_there = first == block.position == segment.position and block.path[:-1] == path[:-1]
    if not stands_there or size > _MAX_BLOCK_TOKENS:
        return None
    pieces = (*path[:-1], (first, first + size, place))
    lengths = (*block.lengths, segment.end - segment.start)
    return Block(block.start, segment.end, block.position, pieces, lengths)


def behind(qkv: Tensor, heads: Heads, past: Past | None) -> Past:
    """What tokens behind the row see of it, and of what it sees itself; the row is one segment."""
    pairs = qkv[:, heads.queries * heads.size :].view(-1, 2, heads.keys, heads.size).permute(1, 2, 0, 3)
    return Past(pairs.contiguous() if past is None else torch.cat((past.values, pairs), 2))


@dataclass(frozen=True)
class BlockAttention:
    """The attention of some blocks of a row.

    Attributes:
        heads: Divides the columns of queries, keys and values.
        blocks: The rows that are wanted.
        scale: Multiplies the scores.
        past: What every row sees beside the row's tokens.
    """

    heads: Heads
    blocks: Sequence[Block]
    scale: float
    past: Past | None = None

    def forward(self, qkv: Tensor, out: Tensor, empty: Empty = Tensor.new_empty) -> Iterator[Tensor]:
        """Write the result to `out`, shape (tokens, queries * size), block by block; yield the probabilities.

        `qkv`: rotated queries and keys, and values, side by side, shape (tokens, heads.width). `empty` makes what is
        yielded.
        """
        columns = _Columns(qkv, self)
        for block in self.blocks:
            keys, values = columns.seen(block)
            probabilities = self._probabilities(columns.queries(block), keys, block, empty)
            columns.unfold(torch.bmm(probabilities, values), out[block.start : block.end])
            yield probabilities

    def backward(
        self, gradient: Tensor, qkv: Tensor, *, kept: Sequence[Tensor] = (), own: Past | None = None
    ) -> Tensor:
        """The gradient with respect to `qkv`, from that of `out`; that of `past` is added to what it collects.

        `kept` holds the probabilities that `forward` yielded; if it is empty, they are computed again. `own` is what
        `behind` gave for the row, and holds what the tokens behind it collected.
        """
        columns = _Columns(qkv, self)
        before = self.past.length if self.past else 0
        shape = (2, self.heads.keys, self.heads.size, before + qkv.shape[0])
        totals = own.gradient if own else torch.zeros(shape, dtype=torch.float32, device=qkv.device)
        result = torch.zeros_like(qkv)
        for index, block in enumerate(self.blocks):
            keys, values = columns.seen(block)
            rows = columns.queries(block)
            probabilities = kept[index] if kept else self._probabilities(rows, keys, block, Tensor.new_empty)
            above = columns.fold(gradient[block.start : block.end])
            slopes = torch.bmm(above, values.transpose(1, 2))
            softmax_backward(slopes, probabilities, self._sight(block), self.scale)
            # The short side first and without strides: several times as fast as the transposed product (AMX).
            _scatter(totals[0], torch.bmm(rows.transpose(1, 2).contiguous(), slopes), block)
            _scatter(totals[1], torch.bmm(above.transpose(1, 2).contiguous(), probabilities), block)
            d_queries = result[block.start : block.end, : columns.query_width]
            columns.unfold(torch.bmm(slopes, keys), d_queries)
        pairs = result[:, columns.query_width :].view(-1, 2, self.heads.keys, self.heads.size)
        pairs.copy_(totals[..., before:].permute(3, 0, 1, 2))
        if self.past:
            self.past.gradient.add_(totals[..., :before])
        return result

    def _probabilities(self, rows: Tensor, keys: Tensor, block: Block, empty: Empty) -> Tensor:
        scores = empty(rows, rows.shape[0], rows.shape[1], keys.shape[1])
        return softmax(torch.bmm(rows, keys.transpose(1, 2), out=scores), self._sight(block), self.scale)

    def _sight(self, block: Block) -> Sight:
        return Sight(block.position, block.lengths, self.heads.group)


def kept_bytes(heads: Heads, blocks: Sequence[Block], dtype: torch.dtype) -> int:
    """Memory of all probabilities that `forward` yields for one layer."""
    return sum((block.end - block.start) * block.width for block in blocks) * heads.queries * dtype.itemsize


class _Columns:
    """Views of `qkv`, with the keys and values of one segment's path side by side, each at its position."""

    def __init__(self, qkv: Tensor, attention: BlockAttention) -> None:
        heads, past = attention.heads, attention.past
        self._qkv, self._heads = qkv, heads
        self.query_width = heads.queries * heads.size
        self._past = past.length if past else 0
        longest = max((block.path[-1][1] for block in attention.blocks), default=self._past)
        shape = (2, heads.keys, _aligned(longest), heads.size)
        self._room = torch.zeros(shape, dtype=qkv.dtype, device=qkv.device)
        self._filled: tuple[Piece, ...] = ()
        if past:
            self._room[:, :, : self._past] = past.values

    def seen(self, block: Block) -> tuple[Tensor, Tensor]:
        """Keys and values that the block's last row sees, and behind them some that none sees."""
        if block.path is not self._filled:
            self._fill(block.path)
        seen = self._room[:, :, : block.width]
        return seen[0], seen[1]

    def queries(self, block: Block) -> Tensor:
        return self.fold(self._qkv[block.start : block.end, : self.query_width])

    def fold(self, rows: Tensor) -> Tensor:
        """From (tokens, heads * size) to (key heads, tokens * group, size)."""
        tokens, heads = rows.shape[0], self._heads
        return rows.view(tokens, heads.keys, -1, heads.size).transpose(0, 1).reshape(heads.keys, -1, heads.size)

    def unfold(self, folded: Tensor, out: Tensor) -> None:
        heads = self._heads
        spread = out.view(out.shape[0], heads.keys, heads.group, heads.size)
        spread.copy_(folded.view(heads.keys, out.shape[0], heads.group, heads.size).transpose(0, 1))

    def _fill(self, path: tuple[Piece, ...]) -> None:
        """Copy the pieces that do not lie there already."""
        same = 0
        for piece, before in zip(path, self._filled, strict=False):
            if piece[::2] != before[::2] or piece[1] > before[1]:
                break
            same += 1
        for first, end, place in path[same:]:
            if place >= self._past:
                start = place - self._past
                pairs = self._qkv[start : start + end - first, self.query_width :]
                spread = pairs.view(-1, 2, self._heads.keys, self._heads.size)
                self._room[:, :, first:end] = spread.permute(1, 2, 0, 3)
        self._filled = path


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def _scatter(total: Tensor, share: Tensor, block: Block) -> None:
    """Add a block's share of the keys' gradient, in float32, where the keys lie."""
    for first, end, place in block.path:
        length = min(end, block.num_keys) - first
        if length > 0:
            total[:, :, place : place + length].add_(share[:, :, first : first + length])
