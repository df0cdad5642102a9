"""Keys and values of what prompts begin with, held once, found again by content.

A segment is computed by products of its own behind the segments before it. Its numbers are therefore a function of the
tokens up to its end, of where they are divided, and of the number of threads: one that was held and one that is
computed again are the same bit for bit, so that memory never shows in an answer.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock
from typing import Final

import torch
from torch import Tensor

from services.lm.decoder.model import Passage
from services.lm.generation.attention import Prefix, SegmentReader
from services.lm.generation.forward import Forward

_MAX_TOKENS_BEFORE: Final = 4096


@dataclass(frozen=True)
class Segment:
    """The keys and values of some tokens, per layer of the shape (2, key heads, length, size)."""

    key: bytes
    length: int
    layers: tuple[Tensor, ...]

    @property
    def num_bytes(self) -> int:
        """Memory held."""
        return sum(layer.numel() * layer.element_size() for layer in self.layers)


class SegmentCache:
    """The segments used last, up to `max_bytes`; several threads may use it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._segments: OrderedDict[bytes, Segment] = OrderedDict()
        self._lock = Lock()

    def get(self, key: bytes) -> Segment | None:
        """The segment of this key, if it is held."""
        with self._lock:
            if key in self._segments:
                self._segments.move_to_end(key)
            return self._segments.get(key)

    def put(self, segment: Segment) -> None:
        """Hold the segment, and let go of those unused longest; one larger than the bound is not held."""
        with self._lock:
            if segment.key in self._segments or segment.num_bytes > self._max_bytes:
                return
            self._segments[segment.key] = segment
            self._bytes += segment.num_bytes
            while self._bytes > self._max_bytes:
                self._bytes -= self._segments.popitem(last=False)[1].num_bytes

    def clear(self) -> None:
        """Let go of all, since the weights changed."""
        with self._lock:
            self._segments.clear()
            self._bytes = 0


@dataclass(frozen=True)
class Chain:
    """Segments one behind another from a prompt's start.

    Attributes:
        key: Names the tokens and how they were divided.
        length: Tokens in all.
        shared: Keys and values of the first tokens, in one piece; None if there are none.
        segments: What stands behind those.
        held: How many tokens did not have to be computed.
    """

    key: bytes = b""
    length: int = 0
    shared: Prefix | None = None
    segments: tuple[Segment, ...] = ()
    held: int = 0

    def followed(self, segment: Segment, *, is_held: bool) -> Chain:
        """The chain with one segment more."""
        length = self.length + segment.length
        held = self.held + segment.length * is_held
        return Chain(segment.key, length, self.shared, (*self.segments, segment), held)

    def joined(self) -> Chain:
        """The chain in one piece, which nobody computes alone."""
        return Chain(self.key, self.length, self.prefix, (), self.length)

    @property
    def prefix(self) -> Prefix | None:
        """All keys and values in one piece."""
        pieces = [*([self.shared.layers] if self.shared else []), *(segment.layers for segment in self.segments)]
        if not pieces:
            return None
        layers = pieces[0] if len(pieces) == 1 else tuple(torch.cat(layer, 2) for layer in zip(*pieces, strict=True))
        return Prefix(self.length, layers)


# A segment's key, what stands before it, and its tokens.
_Unread = tuple[bytes, Chain, Sequence[int]]


class Reader:
    """Reads the segments of prompts, unless they are held."""

    def __init__(self, forward: Forward, cache: SegmentCache, num_threads: int, num_readers: int = 1) -> None:
        """`num_threads` compute, which decides how products are divided and so how they are rounded.

        As many `num_readers` work at a time, each with so many threads.
        """
        self._forward, self._cache = forward, cache
        self._num_threads, self._num_readers = num_threads, num_readers
        self._mode = num_threads.to_bytes(4, "little")

    def extend(self, chain: Chain, prompts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Chain]:
        """`chain` continued through each prompt, given by its token ids and the rising ends of its segments."""
        chains = [chain] * len(prompts)
        for level in range(max(len(ends) for _, ends in prompts)):
            held: dict[int, Segment] = {}
            unread: dict[bytes, tuple[Chain, Sequence[int]]] = {}
            keys: dict[int, bytes] = {}
            for place, (ids, ends) in enumerate(prompts):
                if level < len(ends):
                    before = chains[place]
                    tokens = ids[before.length : ends[level]]
                    key = keys[place] = segment_key(before.key, self._mode, tokens)
                    if segment := self._cache.get(key):
                        held[place] = segment
                    else:
                        unread.setdefault(key, (before, tokens))
            segments = self._read_all(unread)
            for place, key in keys.items():
                is_held = place in held or key not in unread
                chains[place] = chains[place].followed(held.get(place) or segments[key], is_held=is_held)
                unread.pop(key, None)
        return chains

    def _read_all(self, unread: Mapping[bytes, tuple[Chain, Sequence[int]]]) -> dict[bytes, Segment]:
        parts = [*_side_by_side(unread)]
        if len(parts) < 2 or self._num_readers < 2:
            read = [self._read(part) for part in parts]
        else:
            count = (self._num_threads,)
            with ThreadPoolExecutor(self._num_readers, initializer=torch.set_num_threads, initargs=count) as threads:
                read = [*threads.map(self._read, parts)]
        segments = {segment.key: segment for part in read for segment in part}
        for segment in segments.values():
            self._cache.put(segment)
        return segments

    @torch.no_grad()
    def _read(self, unread: Sequence[_Unread]) -> list[Segment]:
        device, passages, readers = self._forward.device, [], []
        for _, chain, ids in unread:
            reader = SegmentReader(self._forward.heads, chain.prefix)
            positions = torch.arange(chain.length, chain.length + len(ids), device=device)
            passages.append(Passage(torch.tensor([list(ids)], device=device), positions[None], reader))
            readers.append(reader)
        self._forward.read(passages)
        return [
            Segment(key, len(ids), tuple(reader.layers)) for (key, _, ids), reader in zip(unread, readers, strict=True)
        ]


def _side_by_side(unread: Mapping[bytes, tuple[Chain, Sequence[int]]]) -> Iterator[list[_Unread]]:
    """Yield what is read together: the keys and values before it have to be in memory at once."""
    some: list[_Unread] = []
    for key, (chain, ids) in unread.items():
        if some and sum(before.length for _, before, _ in some) + chain.length > _MAX_TOKENS_BEFORE:
            yield some
            some = []
        some.append((key, chain, ids))
    if some:
        yield some


def segment_key(before: bytes, mode: bytes, ids: Sequence[int]) -> bytes:
    """The name of a segment: what comes before, how it is computed, and its tokens."""
    return blake2b(b"".join((before, mode, array("q", ids).tobytes())), digest_size=16).digest()
