"""The header of a safetensors file, read within bounds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 16 * 1024**2
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_DTYPE_BITS = {
    **dict.fromkeys(("F64", "I64", "U64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 8),
}


class HeaderError(ValueError):
    """The file isn't safetensors; the text ends a sentence that begins with the file's name."""


def read_sizes(path: Path) -> dict[str, int]:
    """Return how many weights each tensor in the file has, once its header agrees with its size.

    Raises:
        HeaderError: It isn't safetensors, or its header lies.
    """
    header, data_bytes = _read(path)
    header.pop(_METADATA, None)
    if not header:
        raise HeaderError("holds no tensor")
    spans, sizes = [], {}
    for name, entry in header.items():
        shape, span = _shape_and_span(name, entry)
        spans.append(span)
        sizes[name] = math.prod(shape)
    _check_cover(sorted(spans), data_bytes)
    return sizes


def count_parameters(path: Path) -> int:
    """Return the number of weights in the file.

    Raises:
        HeaderError: As for `read_sizes`.
    """
    return sum(read_sizes(path).values())


def _read(path: Path) -> tuple[dict[str, Any], int]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or length > min(MAX_HEADER_BYTES, size - _LENGTH_BYTES):
            raise HeaderError("is not a safetensors file, or it is cut off")
        raw = stream.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise HeaderError("has a header that is not JSON") from error
    if not isinstance(header, dict):
        raise HeaderError("has a header that is no JSON object")
    return header, size - _LENGTH_BYTES - length


def _shape_and_span(name: str, entry: object) -> tuple[list[int], tuple[int, int]]:
    bits = _DTYPE_BITS.get(str(entry.get("dtype"))) if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or bits is None:
        raise HeaderError(f"has a tensor of unknown type ({name[:60]!r})")
    shape, span = _sizes(name, entry.get("shape")), _sizes(name, entry.get("data_offsets"))
    if len(span) != 2:
        raise HeaderError(f"has a tensor without place ({name[:60]!r})")
    if math.prod(shape) * bits != (span[1] - span[0]) * 8:
        raise HeaderError(f"has a tensor whose shape does not fit its bytes ({name[:60]!r})")
    return shape, (span[0], span[1])


def _sizes(name: str, value: object) -> list[int]:
    if (
        isinstance(value, list)
        and len(value) <= 8
        and all(isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**53 for size in value)
    ):
        return value
    raise HeaderError(f"has a tensor without shape or place ({name[:60]!r})")


def _check_cover(spans: list[tuple[int, int]], data_bytes: int) -> None:
    end = 0
    for begin, stop in spans:
        if begin != end:
            raise HeaderError("has tensors that overlap or leave gaps")
        end = stop
    if end != data_bytes:
        raise HeaderError(f"holds {data_bytes} bytes of weights where its header says {end}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise HeaderError("names a tensor twice")
    return entries
