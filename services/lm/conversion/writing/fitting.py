"""The best scale of each group of numbers for the K types, found by compiled loops.

Each step of a formula is rounded in the order written here, so that any processor, and any cut of a tensor into
blocks, gives the same bytes. Groups of a tile stand in columns: loops over them run in vectors.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.lm.decoder.compiled import compiled_exactly, nearest

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_TINY: Final = np.float32(1e-15)
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_TWO: Final = np.float32(2)
# So many groups of 32, with what is computed of each number, stay in the nearest cache.
_TILE: Final = 512


@compiled_exactly
def offset_fit(groups: Floats, tops: Floats) -> Any:
    """The scale and the offset, none below zero, of each group: value = scale * level - offset.

    Large numbers weigh more: an error there changes more of what the layer computes.

    Args:
        groups: (groups, numbers).
        tops: The level that the largest number gets in each try; the first is the largest level that there is.
    """
    scales, offsets = np.empty(len(groups), np.float32), np.empty(len(groups), np.float32)
    for begin in range(0, len(groups), _TILE):
        tile = slice(begin, begin + _TILE)
        scales[tile], offsets[tile] = _offset_fit(np.ascontiguousarray(groups[tile].T), tops)
    return scales, offsets


@compiled_exactly
def scale_fit(groups: Floats, tops: Floats, top: np.float32) -> Floats:
    """The scale of each group for levels from -top to top - 1; numbers weigh by their squares.

    Args:
        groups: (groups, numbers).
        tops: The level that the largest number gets in each try.
        top: The lowest level, negated.
    """
    scales = np.empty(len(groups), np.float32)
    for begin in range(0, len(groups), _TILE):
        tile = slice(begin, begin + _TILE)
        scales[tile] = _scale_fit(np.ascontiguousarray(groups[tile].T), tops, top)
    return scales


@compiled_exactly
def levels_of(groups: Floats, units: Floats, offsets: Floats, low: np.float32, high: np.float32) -> Bytes:
    """The level of each number, counted from `low`; the numbers are (groups, numbers), units and offsets a group's."""
    levels = np.empty(groups.shape, np.uint8)
    for group in range(len(groups)):
        inverse, offset = _inverse(units[group]), offsets[group]
        for i in range(groups.shape[1]):
            level = nearest((groups[group, i] + offset) * inverse)
            levels[group, i] = np.uint8(min(max(level, low), high) - low)
    return levels


@compiled_exactly
def _inverse(value: Any) -> Any:
    """One over it; zero for what is too small."""
    return _ONE / value if abs(value) > _TINY else _ZERO


@compiled_exactly
def _offset_fit(columns: Floats, tops: Floats) -> Any:
    count = columns.shape[1]
    # Of each number: what it is above the lowest, its weight, and itself times its weight.
    numbers = np.empty((3, len(columns), count), np.float32)
    # Of each column: weights, weighted numbers, and on the levels of a try: linear, squared, and crossed with them.
    sums = np.zeros((5, count), np.float32)
    low, width = _span(columns)
    _weigh(columns, low, numbers, sums)
    scales, offsets, least = width / tops[0], low.copy(), np.full(count, np.float32(np.inf))
    for reach in tops:
        _add_up(numbers, width, reach, tops[0], sums)
        _keep_better(scales, offsets, least, sums)
    return scales, -offsets


@compiled_exactly
def _span(columns: Floats) -> Any:
    """The lowest number of each column, or zero if that is less, and how far the highest is above it."""
    low, high = np.zeros(columns.shape[1], np.float32), columns[0].copy()
    for i in range(len(columns)):
        for g in range(columns.shape[1]):
            value = columns[i, g]
            low[g] = value if value < low[g] else low[g]
            high[g] = value if value > high[g] else high[g]
    return low, high - low


@compiled_exactly
def _weigh(columns: Floats, low: Floats, numbers: Floats, sums: Floats) -> None:
    squares = np.zeros_like(low)
    for i in range(len(columns)):
        for g in range(columns.shape[1]):
            squares[g] += columns[i, g] * columns[i, g]
    usual = np.sqrt(squares / np.float32(len(columns)))
    for i in range(len(columns)):
        for g in range(columns.shape[1]):
            value = columns[i, g]
            weight = abs(value) + usual[g]
            numbers[0, i, g], numbers[1, i, g], numbers[2, i, g] = value - low[g], weight, weight * value
            sums[0, g] += weight
            sums[1, g] += weight * value


@compiled_exactly
def _add_up(numbers: Floats, width: Floats, reach: Any, top: Any, sums: Floats) -> None:
    """The sums of each column when its highest number gets the level `reach`."""
    factors = np.empty_like(width)
    for g in range(len(width)):
        factors[g] = _inverse(width[g]) * reach
    sums[2:] = _ZERO
    for i in range(numbers.shape[1]):
        for g in range(numbers.shape[2]):
            level = nearest(numbers[0, i, g] * factors[g])
            level = level if level < top else top
            product = numbers[1, i, g] * level
            sums[2, g] += product
            sums[3, g] += product * level
            sums[4, g] += numbers[2, i, g] * level


@compiled_exactly
def _keep_better(scales: Floats, offsets: Floats, least: Floats, sums: Floats) -> None:
    """Keep scale and offset that err least: those of before on the new levels, or the least squares."""
    for g in range(len(scales)):
        w, v, x, xx, vx = sums[0, g], sums[1, g], sums[2, g], sums[3, g], sums[4, g]
        before = _error(scales[g], offsets[g], sums[:, g])
        error = before if before < least[g] else least[g]
        inverse = _inverse(w * xx - x * x)
        offset = (xx * v - x * vx) * inverse
        is_free = offset <= _ZERO and inverse > _ZERO
        scale = (w * vx - v * x) * inverse if is_free else vx * _inverse(xx)
        offset = offset if is_free else _ZERO
        after = _error(scale, offset, sums[:, g])
        is_better = after < error
        least[g] = after if is_better else error
        scales[g] = scale if is_better else scales[g]
        offsets[g] = offset if is_better else offsets[g]


@compiled_exactly
def _error(scale: Any, offset: Any, sums: Floats) -> Any:
    """The sum of w (scale level + offset - value)², less that of w value², which is the same for all scales."""
    crossed = scale * (scale * sums[3] + _TWO * (offset * sums[2] - sums[4]))
    return crossed + offset * (offset * sums[0] - _TWO * sums[1])


@compiled_exactly
def _scale_fit(columns: Floats, tops: Floats, top: Any) -> Floats:
    count = columns.shape[1]
    largest, best, scales = np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32)
    for i in range(len(columns)):
        for g in range(count):
            value = columns[i, g]
            largest[g] = value if abs(value) > abs(largest[g]) else largest[g]
    squared, crossed = np.empty_like(best), np.empty_like(best)
    for reach in tops:
        _add_up_signed(columns, largest, reach, top, squared, crossed)
        for g in range(count):
            scale = crossed[g] * _inverse(squared[g])
            gain = scale * crossed[g]
            scales[g] = scale if gain > best[g] else scales[g]
            best[g] = gain if gain > best[g] else best[g]
    return scales


@compiled_exactly
def _add_up_signed(columns: Floats, largest: Floats, reach: Any, top: Any, squared: Floats, crossed: Floats) -> None:
    """The sums of each column when its largest number gets the level `-reach`."""
    factors = np.empty_like(largest)
    for g in range(len(largest)):
        factors[g] = _inverse(largest[g]) * -reach
    low, high = -top, top - _ONE
    squared[:], crossed[:] = _ZERO, _ZERO
    for i in range(len(columns)):
        for g in range(columns.shape[1]):
            value = columns[i, g]
            level = nearest(value * factors[g])
            level = low if level < low else level
            level = high if level > high else level
            crossed[g] += value * value * value * level
            squared[g] += level * level * (value * value)
