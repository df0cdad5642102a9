"""Keys and values of what prompts begin with, held once, found again by content.

A segment is computed by a pass of its own behind the segments before it. Its numbers are therefore a function of the
tokens up to its end, of where they are divided, and of the number of threads: one that was held and one that is
computed again are the same bit for bit, so that memory never shows in an answer.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from threading import Lock

import torch
from torch import Tensor

from services.lm.generation.attention import SegmentReader
from services.lm.generation.cache import Prefix
from services.lm.generation.forward import Forward


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
        prefix: Their keys and values in one piece; None if there are none.
        held: How many tokens did not have to be computed.
    """

    key: bytes = b""
    length: int = 0
    prefix: Prefix | None = None
    held: int = 0


class Reader:
    """Reads the segments of prompts, unless they are held."""

    def __init__(self, forward: Forward, cache: SegmentCache, num_threads: int) -> None:
        """`num_threads` compute, which decides how products are divided and so how they are rounded."""
        self._forward, self._cache = forward, cache
        self._mode = num_threads.to_bytes(4, "little")

    def extend(self, chain: Chain, ids: Sequence[int], ends: Sequence[int]) -> Chain:
        """`chain` continued through the prompt `ids` by segments that end at each of `ends`, in rising order."""
        waiting: list[Segment] = []
        for start, end in pairwise((chain.length, *ends)):
            key = segment_key(chain.key, self._mode, ids[start:end])
            segment = self._cache.get(key)
            num_held = chain.held + (end - start if segment else 0)
            if segment is None:
                prefix, waiting = joined(chain.prefix, waiting), []
                segment = self._read(key, ids[start:end], prefix)
                self._cache.put(segment)
                chain = Chain(key, end, prefix, num_held)
            waiting.append(segment)
            chain = Chain(key, end, chain.prefix, num_held)
        return Chain(chain.key, chain.length, joined(chain.prefix, waiting), chain.held)

    @torch.no_grad()
    def _read(self, key: bytes, ids: Sequence[int], past: Prefix | None) -> Segment:
        start = past.length if past else 0
        reader, device = SegmentReader(self._forward.heads, past), self._forward.device
        positions = torch.arange(start, start + len(ids), device=device)[None]
        last = torch.tensor([len(ids) - 1], device=device)
        self._forward.logits(torch.tensor([list(ids)], device=device), positions, reader, last)
        return Segment(key, len(ids), tuple(reader.layers))


def segment_key(before: bytes, mode: bytes, ids: Sequence[int]) -> bytes:
    """The name of a segment: what comes before, how it is computed, and its tokens."""
    return blake2b(b"".join((before, mode, array("q", ids).tobytes())), digest_size=16).digest()


def joined(prefix: Prefix | None, segments: Sequence[Segment]) -> Prefix | None:
    """The prefix with the segments' keys and values behind it, in one copy."""
    pieces = ([prefix.layers] if prefix else []) + [segment.layers for segment in segments]
    if len(pieces) < 2:
        return Prefix(pieces[0][0].shape[2], pieces[0]) if pieces else None
    layers = tuple(torch.cat(layer, 2) for layer in zip(*pieces, strict=True))
    return Prefix(layers[0].shape[2], layers)
