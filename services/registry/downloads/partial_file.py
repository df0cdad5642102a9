"""A file that arrives in parts: what has come is known after any end of the process."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self

from services.chassis.errors import ResourceExhausted, Unavailable

_HEADER_BYTES = 4096
_COUNTER_BYTES = 8
_BLOCK_BYTES = 512


class PartialFile:
    """The parts of one file beside its target, with a journal of how much of each has come.

    Bytes are written before they are counted, so a process that is killed between the two fetches them again. What lies
    there of another file, or of another state of this one, is dropped. One process writes at a time.

    Args:
        target: Where the file appears once it is whole.
        size_bytes: Its size.
        part_bytes: Size of a part; the last one may be smaller.
        identity: What tells the file's content from another, such as its digest.
    """

    def __init__(self, target: Path, size_bytes: int, *, part_bytes: int, identity: str) -> None:
        self._target = target
        self._header = (
            json.dumps([identity[: _HEADER_BYTES // 4], size_bytes, part_bytes]).encode().ljust(_HEADER_BYTES)
        )
        self._size_bytes = size_bytes
        self._part_bytes = part_bytes
        self._counts = [0] * -(-size_bytes // part_bytes)
        self._content_path = content_path(target)
        self._journal_path = target.with_name(f"{target.name}.progress")

    def __enter__(self) -> Self:
        """Open it.

        Raises:
            Unavailable: Another process, which has lost the job, still writes it.
        """
        self._content = os.open(self._content_path, os.O_RDWR | os.O_CREAT, 0o644)
        self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise Unavailable(
                f"Another process still writes {self._target.name}.", "It ends with its lease."
            ) from error
        self._load()
        return self

    def __exit__(self, *_error: object) -> None:
        self._close()

    @property
    def done_bytes(self) -> int:
        """How much has come."""
        return sum(self._counts)

    @property
    def leading_bytes(self) -> int:
        """How much of the file's beginning has come without a gap."""
        total = 0
        for number, count in enumerate(self._counts):
            total += count
            if count < self._length_of(number):
                break
        return total

    def missing_parts(self) -> list[int]:
        """Return the numbers of the parts that are not whole, in order."""
        return [number for number, count in enumerate(self._counts) if count < self._length_of(number)]

    def missing_span(self, part: int) -> tuple[int, int]:
        """Return first and last position, inclusive, of what is missing of a part; first > last for nothing."""
        begin = part * self._part_bytes
        return begin + self._counts[part], begin + self._length_of(part) - 1

    def write(self, part: int, content: memoryview) -> None:
        """Add bytes to a part.

        Raises:
            OSError: The disk takes no more.
        """
        place = part * self._part_bytes + self._counts[part]
        count = self._counts[part] + len(content)
        while content:
            num_written = os.pwrite(self._content, content, place)
            place += num_written
            content = content[num_written:]
        self._count(part, count)

    def read(self, place: int, into: memoryview) -> int:
        """Read bytes of the content; the number is returned."""
        return os.preadv(self._content, [into], place)

    def clear(self) -> None:
        """Forget all that has come."""
        for part in range(len(self._counts)):
            self._count(part, 0)

    def finish(self, *, synced: bool) -> None:
        """Let the file, which is whole, appear at its target; `synced` once its bytes are on the disk."""
        if synced:
            os.fsync(self._content)
        self._content_path.replace(self._target)
        self._journal_path.unlink()

    def _load(self) -> None:
        stored = os.pread(self._journal, _HEADER_BYTES + _COUNTER_BYTES * len(self._counts), 0)
        if stored[:_HEADER_BYTES] != self._header or len(stored) < _HEADER_BYTES + _COUNTER_BYTES * len(self._counts):
            os.ftruncate(self._journal, 0)
            os.ftruncate(self._content, self._size_bytes)
            os.pwrite(self._journal, self._header + bytes(_COUNTER_BYTES * len(self._counts)), 0)
            return
        for part in range(len(self._counts)):
            place = _HEADER_BYTES + _COUNTER_BYTES * part
            count = int.from_bytes(stored[place : place + _COUNTER_BYTES], "little")
            self._counts[part] = min(count, self._length_of(part))

    def _count(self, part: int, count: int) -> None:
        os.pwrite(self._journal, count.to_bytes(_COUNTER_BYTES, "little"), _HEADER_BYTES + _COUNTER_BYTES * part)
        self._counts[part] = count

    def _length_of(self, part: int) -> int:
        return min(self._part_bytes, self._size_bytes - part * self._part_bytes)

    def _close(self) -> None:
        os.close(self._content)
        os.close(self._journal)


def content_path(target: Path) -> Path:
    """Return where the bytes of a file lie until it is whole."""
    return target.with_name(f"{target.name}.part")


def kept_bytes(target: Path) -> int:
    """Return how much of the disk a file takes already, whole or in parts."""
    for place in (target, content_path(target)):
        with suppress(FileNotFoundError):
            return place.stat().st_blocks * _BLOCK_BYTES
    return 0


def check_room(target: Path, size_bytes: int) -> None:
    """Raise ResourceExhausted when the disk has no room for what is missing of a file."""
    free, needed = shutil.disk_usage(target.parent).free, size_bytes - kept_bytes(target)
    if free < needed:
        raise ResourceExhausted(
            f"The file needs {needed} bytes in {target.parent}, where {free} bytes are free.",
            "Free space there or point REGISTRY_DATA_DIR elsewhere, then import again.",
            needed_bytes=str(needed),
            free_bytes=str(free),
        )
