"""Encoders of Q4_K, Q5_K and Q6_K, which the gguf package can only decode.

The layouts are those of `block_q4_K`, `block_q5_K` and `block_q6_K` in llama.cpp's ggml-common.h: 256 numbers a block,
in groups of 32 or 16 that have a scale each, whose scales share one float16. For each group several scales are tried,
and the one is kept whose weighted least-squares fit errs least, as llama.cpp does.

Groups stand in columns here, so that each step runs along a row of memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

BLOCK: Final = 256
_TINY: Final = np.float32(1e-15)
_GROUP: Final = 32
_SMALL_GROUP: Final = 16
_Q4_STARTS: Final = tuple(-1.0 + 0.2 * step for step in range(11))
_Q5_STARTS: Final = tuple(-0.5 + 0.25 * step for step in range(7))
_Q6_STARTS: Final = tuple(0.1 * step for step in range(-9, 10))
_MAX_SCALE: Final = 63


def encode_q4_k(values: Floats) -> Bytes:
    """Rows of a multiple of 256 numbers, as (rows, bytes): 144 bytes a block, 4.5 bits a number."""
    head, levels = _with_offsets(values, 15, _Q4_STARTS)
    pairs = levels.reshape(-1, BLOCK // 64, 2, _GROUP)
    low = (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(-1, BLOCK // 2)
    return np.concatenate([head, low], axis=1).reshape(len(values), -1)


def encode_q5_k(values: Floats) -> Bytes:
    """Rows of a multiple of 256 numbers, as (rows, bytes): 176 bytes a block, 5.5 bits a number."""
    head, levels = _with_offsets(values, 31, _Q5_STARTS)
    pairs = levels.reshape(-1, BLOCK // 64, 2, _GROUP)
    low = (pairs[:, :, 0] & 15 | (pairs[:, :, 1] & 15) << 4).reshape(-1, BLOCK // 2)
    # The fifth bits of the eight groups stand in one byte each, the first group's lowest.
    high = np.packbits(levels.reshape(-1, BLOCK // _GROUP, _GROUP) >> 4, axis=1, bitorder="little")
    return np.concatenate([head, high.reshape(-1, _GROUP), low], axis=1).reshape(len(values), -1)


def encode_q6_k(values: Floats) -> Bytes:
    """Rows of a multiple of 256 numbers, as (rows, bytes): 210 bytes a block, 6.5625 bits a number."""
    columns = np.ascontiguousarray(values.reshape(-1, _SMALL_GROUP).T)
    scales = _scale_fit(columns, 32).reshape(-1, BLOCK // _SMALL_GROUP)
    largest = np.take_along_axis(scales, np.abs(scales).argmax(1)[:, None], 1)
    inverse = _inverse(largest) * np.float32(-128)
    shared = _inverse(inverse).astype(np.float16)
    steps = np.minimum(np.rint(inverse * scales), 127).astype(np.int8)
    unit = (shared.astype(np.float32) * steps).reshape(1, -1)
    levels = np.rint(columns * _inverse(unit)).clip(-32, 31) + 32
    # Half a block of 128 numbers: its four quarters share 64 bytes of low bits and 32 bytes of high bits.
    quarters = levels.astype(np.uint8).T.reshape(-1, 2, 4, 32)
    low = quarters[:, :, :2] & 15 | quarters[:, :, 2:] << 4
    high = quarters[:, :, 0] >> 4
    for place in (1, 2, 3):
        high |= quarters[:, :, place] >> 4 << (2 * place)
    parts = [low.reshape(-1, BLOCK // 2), high.reshape(-1, BLOCK // 4), steps.view(np.uint8), shared.view(np.uint8)]
    return np.concatenate(parts, axis=1).reshape(len(values), -1)


def _with_offsets(values: Floats, top: int, starts: tuple[float, ...]) -> tuple[Bytes, Bytes]:
    """Scales and offsets of each block as 16 bytes, and the levels from 0 to `top`, (blocks, 256)."""
    columns = np.ascontiguousarray(values.reshape(-1, _GROUP).T)
    scales, offsets = (part.reshape(-1, BLOCK // _GROUP) for part in _offset_fit(columns, top, starts))
    shared, scale_steps = _shared(scales)
    shared_offset, offset_steps = _shared(offsets)
    unit = (shared.astype(np.float32) * scale_steps).reshape(1, -1)
    offset = (shared_offset.astype(np.float32) * offset_steps).reshape(1, -1)
    columns += offset
    columns *= _inverse(unit)
    levels = np.rint(columns, out=columns).clip(0, top).astype(np.uint8).T
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


@dataclass(frozen=True)
class _Sums:
    """Weighted sums of each column, and of its levels on one scale."""

    weights: Floats
    values: Floats
    linear: Floats
    squared: Floats
    crossed: Floats

    def error(self, scale: Floats, offset: Floats) -> Floats:
        """The sum of w (scale level + offset - value)², less that of w value², which is the same for all scales."""
        return scale * (scale * self.squared + 2 * (offset * self.linear - self.crossed)) + offset * (
            offset * self.weights - 2 * self.values
        )

    def least_squares(self) -> tuple[Floats, Floats]:
        """The scale and the offset, none above zero, that err least."""
        inverse = _inverse(self.weights * self.squared - self.linear * self.linear)
        scale = (self.weights * self.crossed - self.values * self.linear) * inverse
        offset = (self.squared * self.values - self.linear * self.crossed) * inverse
        is_free = (offset <= 0) & (inverse > 0)
        alone = self.crossed * _inverse(self.squared)
        return np.where(is_free, scale, alone), np.where(is_free, offset, np.float32(0))


def _offset_fit(columns: Floats, top: int, starts: tuple[float, ...]) -> tuple[Floats, Floats]:
    """The scale and the offset, none below zero, of each column: value = scale * level - offset.

    Large numbers weigh more: an error there changes more of what the layer computes.
    """
    weights = np.abs(columns) + np.sqrt(np.mean(columns * columns, axis=0))
    weighted = weights * columns
    low = np.minimum(columns.min(0), 0)
    width = columns.max(0) - low
    above = columns - low
    sum_weights, sum_values = weights.sum(0), weighted.sum(0)
    scales: Floats = width / np.float32(top)
    offsets = low
    least = np.full_like(low, np.inf)
    levels, product = np.empty_like(columns), np.empty_like(columns)
    for start in (0.0, *starts):
        np.multiply(above, _inverse(width) * np.float32(top + start), out=levels)
        np.minimum(np.rint(levels, out=levels), top, out=levels)
        crossed = np.multiply(weighted, levels, out=product).sum(0)
        linear = np.multiply(weights, levels, out=product).sum(0)
        sums = _Sums(sum_weights, sum_values, linear, np.multiply(product, levels, out=product).sum(0), crossed)
        for scale, offset in ((scales, offsets), sums.least_squares()):
            error = sums.error(scale, offset)
            is_better = error < least
            least, scales, offsets = (
                np.where(is_better, *pair) for pair in ((error, least), (scale, scales), (offset, offsets))
            )
    return scales, -offsets


def _scale_fit(columns: Floats, top: int) -> Floats:
    """The scale of each column for levels from -top to top - 1; numbers weigh by their squares."""
    weights = columns * columns
    weighted = weights * columns
    largest = np.take_along_axis(columns, np.abs(columns).argmax(0)[None], 0)[0]
    best: Floats = np.zeros_like(largest)
    scales: Floats = np.zeros_like(largest)
    levels = np.empty_like(columns)
    for start in _Q6_STARTS:
        np.multiply(columns, _inverse(largest) * np.float32(-(top + start)), out=levels)
        np.clip(np.rint(levels, out=levels), -top, top - 1, out=levels)
        crossed = (weighted * levels).sum(0)
        np.multiply(levels, levels, out=levels)
        scale = crossed * _inverse(np.multiply(levels, weights, out=levels).sum(0))
        gain = scale * crossed
        is_better = gain > best
        np.copyto(best, gain, where=is_better)
        np.copyto(scales, scale, where=is_better)
    return scales


def _inverse(values: Any) -> Any:
    """One over each; zero for what is too small."""
    is_large = np.abs(values) > _TINY
    return np.divide(np.float32(1), values, out=np.zeros_like(values), where=is_large)
