"""Weights written as safetensors, in one file or in several with an index, block of rows by block of rows."""

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from services.lm.conversion.writing.pipeline import Progress, in_order, row_blocks, write_early
from services.lm.folders.weights import INDEX, SINGLE

# As transformers parts a model.
SHARD_BYTES: Final = 5 * 10**9


class Content(Protocol):
    """What a tensor of the folder is written from, from several threads at once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost size first."""

    @property
    def dtype(self) -> str:
        """Its type as safetensors names it."""

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes."""

    def content(self, start: int, stop: int) -> bytes | memoryview:
        """The bytes of these rows."""


def write_weights(
    folder: Path, tensors: Mapping[str, Content], progress: Progress, *, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write all tensors; `progress` is called with the bytes written and their total.

    Raises:
        InvalidModelFile: A tensor holds numbers that its type cannot.
    """
    shards = _shards(tensors, shard_bytes)
    total, done = sum(tensor.num_bytes for tensor in tensors.values()), 0
    names = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    names = names if len(names) > 1 else [SINGLE]
    for file, shard in zip(names, shards, strict=True):
        with (folder / file).open("wb") as stream:
            stream.write(_header({name: tensors[name] for name in shard}))
            for _, content in in_order(_content, _blocks([tensors[name] for name in shard])):
                write_early(stream, content)
                done += len(content)
                progress(done, total)
    if len(names) > 1:
        places = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")


def _shards(tensors: Mapping[str, Content], shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.num_bytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.num_bytes
    return shards


def _header(tensors: Mapping[str, Content]) -> bytes:
    """Eight bytes of header length, and a JSON header padded to eight bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.num_bytes
        entries[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header


@dataclass(frozen=True)
class _Block:
    tensor: Content
    start: int
    stop: int


def _blocks(tensors: Sequence[Content]) -> Iterator[_Block]:
    for tensor in tensors:
        if math.prod(tensor.shape):
            for start, stop in row_blocks(tensor.shape):
                yield _Block(tensor, start, stop)


def _content(block: _Block) -> memoryview:
    return memoryview(block.tensor.content(block.start, block.stop))
