"""Tensors in safetensors files, read row by row as float32: neither torch nor a mapping of the file is needed."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.lm.conversion.writing.pipeline import read_ahead
from services.lm.errors import InvalidModelFile
from services.lm.folders.weights import weight_files

Floats = NDArray[np.float32]

_LENGTH_BYTES: Final = 8
_MAX_HEADER_BYTES: Final = 100 * 1024**2
# How numpy reads each type; it has no bfloat16, whose bits are the upper half of a float32's.
_READ_AS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_SIZES: Final = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1),
}
_AGAIN: Final = "Fetch the file again."


class Rows(Protocol):
    """A tensor whose rows can be had a few at a time, from several threads at once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost size first."""

    def rows(self, start: int, stop: int) -> Floats:
        """A new array of these rows; a tensor without dimensions has one row."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a safetensors file; `dtype` is its type as the file names it, such as BF16."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    num_bytes: int

    @property
    def is_real(self) -> bool:
        """It holds numbers of a type that float32 can stand for."""
        return self.dtype in _READ_AS

    def content(self, start: int, stop: int) -> bytes:
        """The stored bytes of these rows.

        Raises:
            InvalidModelFile: The file has become shorter.
        """
        row_bytes = self.num_bytes // self.shape[0] if self.shape else self.num_bytes
        with self.file.open("rb", buffering=0) as stream:
            read_ahead(stream, self.offset + stop * row_bytes)
            stream.seek(self.offset + start * row_bytes)
            content = stream.read((stop - start) * row_bytes)
        if len(content) != (stop - start) * row_bytes:
            raise InvalidModelFile("The file ends within a tensor.", _AGAIN, f"{self.file.name}: {self.name}")
        return content

    def rows(self, start: int, stop: int) -> Floats:
        """These rows as float32."""
        if not self.is_real:
            raise InvalidModelFile(
                f"The weights are stored as {self.dtype}.", "Take the model before it was quantized.", self.name
            )
        stored = np.frombuffer(self.content(start, stop), dtype=_READ_AS[self.dtype])
        if self.dtype == "BF16":
            bits = stored.astype(np.uint32)
            bits <<= np.uint32(16)
            values: Floats = bits.view(np.float32)
        else:
            values = stored.astype(np.float32)
        return values.reshape(stop - start, *self.shape[1:]) if self.shape else values


@dataclass(frozen=True)
class Stacked:
    """Tensors of one shape as one; each is a row of it."""

    parts: Sequence[Rows]

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost size first."""
        return (len(self.parts), *self.parts[0].shape)

    def rows(self, start: int, stop: int) -> Floats:
        """These of them."""
        return np.stack([part.rows(0, part.shape[0]) for part in self.parts[start:stop]])


def tensors_of_folder(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a model's folder, by name, in the order of the files.

    Raises:
        InvalidModelFile: A file is damaged, or two of them hold one tensor.
    """
    tensors: dict[str, StoredTensor] = {}
    for file in weight_files(folder):
        for tensor in _tensors(file):
            if tensor.name in tensors:
                raise InvalidModelFile(
                    f"The tensor lies in {tensors[tensor.name].file.name} and in {file.name}.", _AGAIN, tensor.name
                )
            tensors[tensor.name] = tensor
    return tensors


def tensors_of_file(file: Path) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file, by name.

    Raises:
        InvalidModelFile: It is damaged.
    """
    return {tensor.name: tensor for tensor in _tensors(file)}


def _tensors(file: Path) -> list[StoredTensor]:
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            if not 0 < length <= min(size - _LENGTH_BYTES, _MAX_HEADER_BYTES):
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
        begin = _LENGTH_BYTES + length
        tensors = [_tensor(file, begin, *entry) for entry in header.items() if entry[0] != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidModelFile(f"The file is damaged ({error}).", _AGAIN, file.name) from error
    if any(tensor.offset + tensor.num_bytes > size for tensor in tensors):
        raise InvalidModelFile("The file is shorter than its header says.", _AGAIN, file.name)
    return sorted(tensors, key=lambda tensor: tensor.offset)


def _tensor(file: Path, begin: int, name: str, entry: Mapping[str, Any]) -> StoredTensor:
    shape = tuple(int(size) for size in entry["shape"])
    start, stop = (int(offset) for offset in entry["data_offsets"])
    if min((*shape, start, stop)) < 0 or math.prod(shape) * _SIZES[entry["dtype"]] != stop - start:
        raise ValueError(f"the shape of {name[:80]} does not fit its bytes")
    return StoredTensor(name, file, entry["dtype"], shape, begin + start, stop - start)
