"""Tensors cut into blocks of rows, which threads turn into bytes while the finished ones are written in order."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Final, TypeVar

from services.lm.process import usable_cores

Progress = Callable[[int, int], None]
Item = TypeVar("Item")

# 4 MiB as float32: large enough that Python's own time does not count, small enough for the processor's cache.
_BLOCK_NUMBERS: Final = 1 << 20
_EARLY_BYTES: Final = 64 << 20
_AHEAD_BYTES: Final = 16 << 20


def write_early(stream: BinaryIO, content: bytes | memoryview) -> None:
    """Write what comes next, and let the disk take each 64 MiB at once: the last sync need not wait for all then."""
    start = stream.tell()
    stream.write(content)
    first, last = start // _EARLY_BYTES, (start + len(content)) // _EARLY_BYTES
    if last > first:
        stream.flush()
        # The kernel begins to write such pages; it drops those alone that are on the disk.
        os.posix_fadvise(stream.fileno(), first * _EARLY_BYTES, (last - first) * _EARLY_BYTES, os.POSIX_FADV_DONTNEED)


def read_ahead(stream: BinaryIO, place: int) -> None:
    """Let the disk bring what comes from this place on, while what lies before it is read and computed."""
    os.posix_fadvise(stream.fileno(), place, _AHEAD_BYTES, os.POSIX_FADV_WILLNEED)


def row_blocks(shape: tuple[int, ...], unit: int = 1) -> Iterator[tuple[int, int]]:
    """First row and the row behind the last, of each block; a tensor without dimensions has one row.

    Each `unit` rows stay together.
    """
    rows = shape[0] if shape else 1
    step = max(1, _BLOCK_NUMBERS // max(1, unit * math.prod(shape[1:]))) * unit
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def in_order(work: Callable[[Item], memoryview], items: Iterable[Item]) -> Iterator[tuple[Item, memoryview]]:
    """Each item with what `work` makes of it, computed ahead by as many threads as there are cores."""
    threads = usable_cores()
    waiting: deque[tuple[Item, Future[memoryview]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > threads:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
