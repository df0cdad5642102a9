"""Memory for what a training step keeps, given back last in, first out: rows of any lengths leave no holes."""

import mmap
from contextlib import suppress
from math import prod
from typing import Final

import torch
from torch import Tensor

# Addresses alone: the system gives memory where something was written.
_CHUNK_BYTES: Final = 1 << 30
_ALIGNMENT: Final = 64
_FLAGS: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
Place = tuple[int, int]
"""A chunk's number, and the bytes of it that are taken."""


class Stack:
    """Hands out tensors one behind the other. What was written once stays with the process for the next step."""

    def __init__(self) -> None:
        """Take nothing yet."""
        self._chunks: list[Tensor] = []
        self.top: Place = (0, 0)

    def empty(self, other: Tensor, *shape: int) -> Tensor:
        """A tensor of any values, of the type of `other`."""
        size = prod(shape) * other.dtype.itemsize
        number, start = self.top
        while number < len(self._chunks) and start + size > self._chunks[number].shape[0]:
            number, start = number + 1, 0
        if number == len(self._chunks):
            self._chunks.append(_chunk(max(size, _CHUNK_BYTES)))
        self.top = number, start + -(-size // _ALIGNMENT) * _ALIGNMENT
        return self._chunks[number][start : start + size].view(other.dtype).view(shape)

    def give_back(self, place: Place) -> None:
        """Take back what was handed out since `top` was `place`; nobody may use it any more."""
        self.top = place


def _chunk(size: int) -> Tensor:
    memory = mmap.mmap(-1, size, _FLAGS)
    # Large pages are written to faster; not every system has them.
    with suppress(OSError, AttributeError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8)
