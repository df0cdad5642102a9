"""A GGUF file written tensor by tensor, in blocks of rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf import GGML_QUANT_VERSION, GGUF_DEFAULT_ALIGNMENT, GGUFValueType, GGUFWriter
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from services.lm.conversion.writing.number_types import encode, stored_bytes
from services.lm.conversion.writing.pipeline import Progress, in_order, row_blocks, write_early
from services.lm.conversion.writing.stored_tensors import Rows

_ARCHITECTURE: Final = "general.architecture"


@dataclass(frozen=True)
class Entry:
    """One tensor of a GGUF file.

    Attributes:
        values: What makes the stored numbers of rows; None where the source's rows are stored as they are.
        unit: So many rows it needs together; 0 for all.
        changed_shape: Its shape in the file; () for that of the source.
    """

    name: str
    kind: Kind
    source: Rows
    values: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    unit: int = 0
    changed_shape: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost size first."""
        return self.changed_shape or self.source.shape

    @property
    def num_bytes(self) -> int:
        """Bytes that its numbers take, without what fills up to the next tensor."""
        return stored_bytes(self.kind, self.shape)


@dataclass(frozen=True)
class Computed:
    """A tensor that no file holds."""

    content: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost size first."""
        return self.content.shape

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """These rows."""
        return self.content[start:stop]


def file_bytes(entries: Sequence[Entry]) -> int:
    """Bytes of all tensors of a file; its metadata take some more."""
    return sum(_padded(entry.num_bytes) for entry in entries)


def write_gguf(
    file: Path, metadata: Sequence[tuple[str, object, str]], entries: Sequence[Entry], progress: Progress
) -> None:
    """Write the file; `progress` is called with the bytes of tensors written and their total.

    Raises:
        InvalidModelFile: A tensor holds numbers that its type cannot.
    """
    _write_header(file, metadata, entries)
    done, total = 0, file_bytes(entries)
    with file.open("ab") as stream:
        stream.write(bytes(-stream.tell() % GGUF_DEFAULT_ALIGNMENT))
        for (entry, _, stop), content in in_order(_encoded, _blocks(entries)):
            write_early(stream, content)
            done += len(content)
            if stop == entry.source.shape[0]:
                padding = bytes(_padded(entry.num_bytes) - entry.num_bytes)
                stream.write(padding)
                done += len(padding)
            progress(done, total)


def type_entries(file_type: int, *, is_quantised: bool) -> list[tuple[str, object, str]]:
    """What the metadata say of how the numbers are stored."""
    version = [("general.quantization_version", GGML_QUANT_VERSION, "UINT32")] if is_quantised else []
    return [("general.file_type", int(file_type), "UINT32"), *version]


def _write_header(file: Path, metadata: Sequence[tuple[str, object, str]], entries: Sequence[Entry]) -> None:
    writer = GGUFWriter(file, str({key: value for key, value, _ in metadata}[_ARCHITECTURE]))
    for key, value, kind in metadata:
        if key != _ARCHITECTURE:
            writer.add_key_value(key, value, GGUFValueType[kind])
    for entry in entries:
        writer.add_tensor_info(entry.name, entry.shape, np.dtype(np.float32), entry.num_bytes, raw_dtype=entry.kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _blocks(entries: Sequence[Entry]) -> Iterator[tuple[Entry, int, int]]:
    for entry in entries:
        unit = 1 if entry.values is None else entry.unit or entry.source.shape[0]
        for start, stop in row_blocks(entry.source.shape, unit):
            yield entry, start, stop


def _encoded(block: tuple[Entry, int, int]) -> memoryview:
    entry, start, stop = block
    rows: NDArray[Any] = entry.source.rows(start, stop)
    return encode(rows if entry.values is None else entry.values(rows), entry.kind, f"tensor {entry.name!r}")


def _padded(num_bytes: int) -> int:
    padding: int = -num_bytes % GGUF_DEFAULT_ALIGNMENT
    return num_bytes + padding
