"""Encoders of Q4_K, Q5_K and Q6_K, which the gguf package can only decode.

The layouts are those of `block_q4_K`, `block_q5_K` and `block_q6_K` in llama.cpp's ggml-common.h: 256 numbers a block,
in groups of 32 or 16 that have a scale each, whose scales share one float16. For each group several scales are tried,
and the one is kept whose weighted least-squares fit errs least, as llama.cpp does.
"""

from typing import Any, Final

import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from services.lm.conversion.writing.fitting import levels_of, offset_fit, scale_fit

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

BLOCK: Final = 256
_TINY: Final = np.float32(1e-15)
_GROUP: Final = 32
_SMALL_GROUP: Final = 16
_Q4_TOPS: Final = np.array([15.0, *(15 - 1.0 + 0.2 * step for step in range(11))], dtype=np.float32)
_Q5_TOPS: Final = np.array([31.0, *(31 - 0.5 + 0.25 * step for step in range(7))], dtype=np.float32)
_Q6_TOPS: Final = np.array([32 + 0.1 * step for step in range(-9, 10)], dtype=np.float32)
_MAX_SCALE: Final = 63


def encode_q4_k(values: Floats) -> Bytes:
    """Rows of a multiple of 256 numbers, as (rows, bytes): 144 bytes a block, 4.5 bits a number."""
    head, levels = _with_offsets(values, _Q4_TOPS)
    pairs = levels.reshape(-1, BLOCK // 64, 2, _GROUP)
    low = (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(-1, BLOCK // 2)
    return np.concatenate([head, low], axis=1).reshape(len(values), -1)


def encode_q5_k(values: Floats) -> Bytes:
    """Rows of a multiple of 256 numbers, as (rows, bytes): 176 bytes a block, 5.5 bits a number."""
    head, levels = _with_offsets(values, _Q5_TOPS)
    pairs = levels.reshape(-1, BLOCK // 64, 2, _GROUP)
    low = (pairs[:, :, 0] & 15 | (pairs[:, :, 1] & 15) << 4).reshape(-1, BLOCK // 2)
    # The fifth bits of the eight groups stand in one byte each, the first group's lowest.
    high = np.packbits(levels.reshape(-1, BLOCK // _GROUP, _GROUP) >> 4, axis=1, bitorder="little")
    return np.concatenate([head, high.reshape(-1, _GROUP), low], axis=1).reshape(len(values), -1)


def encode_q6_k(values: Floats) -> Bytes:
    """Rows of a multiple of 256 numbers, as (rows, bytes): 210 bytes a block, 6.5625 bits a number."""
    groups = values.reshape(-1, _SMALL_GROUP)
    scales = scale_fit(groups, _Q6_TOPS, np.float32(32)).reshape(-1, BLOCK // _SMALL_GROUP)
    largest = np.take_along_axis(scales, np.abs(scales).argmax(1)[:, None], 1)
    inverse = _inverse(largest) * np.float32(-128)
    shared = _inverse(inverse).astype(np.float16)
    steps = np.minimum(np.rint(inverse * scales), 127).astype(np.int8)
    units = (shared.astype(np.float32) * steps).ravel()
    levels = levels_of(groups, units, np.zeros_like(units), np.float32(-32), np.float32(31))
    # Half a block of 128 numbers: its four quarters share 64 bytes of low bits and 32 bytes of high bits.
    quarters = levels.reshape(-1, 2, 4, 32)
    low = quarters[:, :, :2] & 15 | quarters[:, :, 2:] << 4
    high = quarters[:, :, 0] >> 4
    for place in (1, 2, 3):
        high |= quarters[:, :, place] >> 4 << (2 * place)
    parts = [low.reshape(-1, BLOCK // 2), high.reshape(-1, BLOCK // 4), steps.view(np.uint8), shared.view(np.uint8)]
    return np.concatenate(parts, axis=1).reshape(len(values), -1)


def _with_offsets(values: Floats, tops: Floats) -> tuple[Bytes, Bytes]:
    """Scales and offsets of each block as 16 bytes, and the levels from 0 to the first of `tops`, (blocks, 256)."""
    groups = values.reshape(-1, _GROUP)
    scales, offsets = (part.reshape(-1, BLOCK // _GROUP) for part in offset_fit(groups, tops))
    shared, scale_steps = _shared(scales)
    shared_offset, offset_steps = _shared(offsets)
    units = (shared.astype(np.float32) * scale_steps).ravel()
    offsets = (shared_offset.astype(np.float32) * offset_steps).ravel()
    levels = levels_of(groups, units, offsets, np.float32(0), tops[0])
    packed = _packed_steps(scale_steps, offset_steps)
    return np.concatenate([shared.view(np.uint8), shared_offset.view(np.uint8), packed], axis=1), levels


def _shared(parts: Floats) -> tuple[NDArray[np.float16], Bytes]:
    """One float16 for the eight scales of a block, and each of them in steps of it from 0 to 63."""
    largest = parts.max(1, keepdims=True)
    steps = np.minimum(np.rint(parts * (_inverse(largest) * np.float32(_MAX_SCALE))), _MAX_SCALE)
    return (largest / np.float32(_MAX_SCALE)).astype(np.float16), steps.astype(np.uint8)


def _packed_steps(scales: Bytes, offsets: Bytes) -> Bytes:
    """Eight scales and eight offsets of six bits in twelve bytes."""
    first = scales[:, :4] | scales[:, 4:] >> 4 << 6
    second = offsets[:, :4] | offsets[:, 4:] >> 4 << 6
    third = scales[:, 4:] & 15 | (offsets[:, 4:] & 15) << 4
    return np.concatenate([first, second, third], axis=1)


def _inverse(values: Any) -> Any:
    """One over each; zero for what is too small."""
    is_large = np.abs(values) > _TINY
    return np.divide(np.float32(1), values, out=np.zeros_like(values), where=is_large)


ENCODERS: Final = {Kind.Q4_K: encode_q4_k, Kind.Q5_K: encode_q5_k, Kind.Q6_K: encode_q6_k}
