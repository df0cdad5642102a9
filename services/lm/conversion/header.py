"""The header of a GGUF file, read within bounds: no length in it is believed before it is checked."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from services.lm.conversion.tensor_types import storage_bytes
from services.lm.errors import InvalidModelFile

MAX_STRING_BYTES: Final = 4 << 20
MAX_ARRAY_ITEMS: Final = 1 << 20
MAX_KEYS: Final = 4096
MAX_TENSORS: Final = 1 << 17
MAX_HEADER_BYTES: Final = 96 << 20
MAX_NAME_BYTES: Final = 1024
MAX_DIMENSIONS: Final = 4
MAX_ALIGNMENT: Final = 1 << 20
DEFAULT_ALIGNMENT: Final = 32

_SCALARS: Final = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING: Final = 8
_ARRAY: Final = 9

Scalar = int | float | bool | str
Value = Scalar | list[Scalar]


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies: `shape` outermost dimension first, `offset` from the start of `file`, in bytes."""

    file: Path
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    num_bytes: int

    @property
    def num_elements(self) -> int:
        """How many numbers it holds."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, eq=False)
class Header:
    """What a GGUF says about itself; every length and offset in it has been checked against the file.

    Attributes:
        files: The file, or all parts of a model that is split over several, in order; `file_bytes` long together.
    """

    files: tuple[Path, ...]
    file_bytes: int
    metadata: dict[str, Value] = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)

    def text(self, key: str, default: str = "") -> str:
        """The string under `key`, or `default`; a value of another type is refused."""
        value = self.metadata.get(key, default)
        if not isinstance(value, str):
            raise InvalidModelFile(f"The key is not a string but {type(value).__name__}.", _ASK_AGAIN, key)
        return value


_ASK_AGAIN: Final = "Fetch the file again from a source you trust, or ask its author for a valid one."
_OLD_FORM: Final = ("This is an older GGML file, from before GGUF.", "Fetch the model as GGUF, or as a folder.")
_OTHER_FORMS: Final = {
    b"vers": ("This is a Git LFS pointer, not the model.", "Run `git lfs pull`, or download the file itself."),
    b"<!DO": ("This is a web page, not a model.", "Download the file itself, not the page that shows it."),
    b"lmgg": _OLD_FORM,
    b"fmgg": _OLD_FORM,
    b"tjgg": _OLD_FORM,
}


class _Reader:
    """A cursor over the header that refuses to pass the end of the file or the header limit."""

    def __init__(self, stream: BinaryIO, file_bytes: int) -> None:
        self._stream = stream
        self._limit = min(file_bytes, MAX_HEADER_BYTES)
        self._file_bytes = file_bytes
        self.position = 0

    def refuse(self, problem: str) -> InvalidModelFile:
        return InvalidModelFile(problem, _ASK_AGAIN, f"byte {self.position}")

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > self._limit:
            if end > self._file_bytes:
                raise self.refuse(f"The file ends after {self._file_bytes} bytes, {count} more were announced here.")
            raise self.refuse(f"The header is larger than {MAX_HEADER_BYTES} bytes.")
        content = self._stream.read(count)
        if len(content) != count:
            raise self.refuse("The file became shorter while it was read.")
        self.position = end
        return content

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def string(self, max_bytes: int = MAX_STRING_BYTES) -> str:
        length = self.unsigned(8)
        if length > max_bytes:
            raise self.refuse(f"A string announces {length} bytes, more than the {max_bytes} allowed.")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.refuse("A string is not valid UTF-8.") from error

    def value(self, kind: int) -> Value:
        if kind == _ARRAY:
            return self._array()
        return self._scalar_reader(kind)()

    def _scalar_reader(self, kind: int) -> Callable[[], Scalar]:
        if kind == _STRING:
            return self.string
        form = _SCALARS.get(kind)
        if form is None:
            raise self.refuse(f"A value has the unknown type {kind}.")
        unpack, size = struct.Struct(form).unpack, struct.calcsize(form)
        return lambda: unpack(self.take(size))[0]

    def _array(self) -> list[Scalar]:
        kind, count = self.unsigned(4), self.unsigned(8)
        if kind == _ARRAY:
            raise self.refuse("An array holds arrays, which no model needs.")
        if count > MAX_ARRAY_ITEMS:
            raise self.refuse(f"An array announces {count} items, more than the {MAX_ARRAY_ITEMS} allowed.")
        if kind == _STRING:
            return [self.string() for _ in range(count)]
        form = _SCALARS.get(kind)
        if form is None:
            raise self.refuse(f"An array holds the unknown type {kind}.")
        return list(struct.unpack(f"<{count}{form[1]}", self.take(count * struct.calcsize(form))))


def read_header(path: Path) -> Header:
    """The header of the GGUF file at `path`, wholly checked, without reading any tensor.

    Raises:
        InvalidModelFile: The file is not a GGUF of version 2 or 3, is truncated, or announces something impossible.
    """
    file_bytes = path.stat().st_size
    with path.open("rb", buffering=1 << 20) as stream:
        reader = _Reader(stream, file_bytes)
        num_tensors, num_keys = _preamble(reader)
        metadata = _metadata(reader, num_keys)
        announced = [_tensor_entry(reader) for _ in range(num_tensors)]
    alignment = _alignment(metadata)
    start = -(-reader.position // alignment) * alignment
    return Header((path,), file_bytes, metadata, _placed(path, announced, start, alignment, file_bytes))


def _preamble(reader: _Reader) -> tuple[int, int]:
    begin = reader.take(4)
    if begin != b"GGUF":
        problem, next_step = _OTHER_FORMS.get(begin, ("This is not a GGUF file.", "Choose a file that ends in .gguf."))
        raise InvalidModelFile(problem, next_step, "byte 0")
    version, num_tensors, num_keys = reader.unsigned(4), reader.unsigned(8), reader.unsigned(8)
    if version not in (2, 3):
        raise reader.refuse(f"GGUF version {version} is not supported, only 2 and 3 are.")
    if num_tensors > MAX_TENSORS:
        raise reader.refuse(f"{num_tensors} tensors are announced, more than the {MAX_TENSORS} allowed.")
    if num_keys > MAX_KEYS:
        raise reader.refuse(f"{num_keys} keys are announced, more than the {MAX_KEYS} allowed.")
    return num_tensors, num_keys


def _metadata(reader: _Reader, num_keys: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    for _ in range(num_keys):
        key = reader.string(MAX_NAME_BYTES)
        if key in metadata:
            raise reader.refuse(f"The key {key[:80]!r} appears twice.")
        metadata[key] = reader.value(reader.unsigned(4))
    return metadata


def _tensor_entry(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    name = reader.string(MAX_NAME_BYTES)
    num_dimensions = reader.unsigned(4)
    if not 1 <= num_dimensions <= MAX_DIMENSIONS:
        raise reader.refuse(f"The tensor {name[:80]!r} announces {num_dimensions} dimensions.")
    shape = tuple(reader.unsigned(8) for _ in range(num_dimensions))
    return name, shape[::-1], reader.unsigned(4), reader.unsigned(8)


def _alignment(metadata: dict[str, Value]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise InvalidModelFile(f"The alignment {alignment!r} is not a power of two.", _ASK_AGAIN, "general.alignment")
    return alignment


def _placed(
    path: Path, announced: list[tuple[str, tuple[int, ...], int, int]], start: int, alignment: int, file_bytes: int
) -> tuple[Tensor, ...]:
    """The tensors with absolute offsets, each known to lie inside the file and none on top of another."""
    tensors: dict[str, Tensor] = {}
    for name, shape, kind, offset in announced:
        place = f"tensor {name[:80]!r}"
        if name in tensors:
            raise InvalidModelFile("The tensor appears twice.", _ASK_AGAIN, place)
        if offset % alignment:
            raise InvalidModelFile(f"Its offset {offset} is not a multiple of {alignment}.", _ASK_AGAIN, place)
        num_bytes = storage_bytes(kind, shape, place)
        if start + offset + num_bytes > file_bytes:
            raise InvalidModelFile(
                f"It would end at byte {start + offset + num_bytes}, the file has {file_bytes}.", _ASK_AGAIN, place
            )
        tensors[name] = Tensor(path, name, shape, kind, start + offset, num_bytes)
    _check_no_overlap(list(tensors.values()))
    return tuple(tensors.values())


def _check_no_overlap(tensors: list[Tensor]) -> None:
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        if tensor.offset < end:
            raise InvalidModelFile("It overlaps another tensor.", _ASK_AGAIN, f"tensor {tensor.name[:80]!r}")
        end = tensor.offset + tensor.num_bytes
