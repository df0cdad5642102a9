"""Charts as inline SVG: they need no script, so pages and reports draw the same ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drillyard.evaluator.v1.metrics_pb2 import Rates

WIDTH, HEIGHT = 330.0, 140.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 10.0, 10.0, 22.0


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    place: float
    label: str


@dataclass(frozen=True)
class LineChart:
    """The geometry of one curve."""

    path: str
    area: str
    dots: tuple[tuple[float, float, str], ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    last: str
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(frozen=True)
class Overlay:
    """The geometry of several curves over the same axes, each with its name; `points` has their numbers, for a file."""

    paths: tuple[tuple[str, str], ...]
    points: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    bottom: float = HEIGHT - _BOTTOM
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(frozen=True)
class ToolRow:
    """One tool's rates before and after; `after` is None in a single evaluation."""

    tool: str
    num_cases: int
    before: float
    after: float | None


def line_chart(points: Sequence[tuple[int, float]], *, is_rate: bool = False) -> LineChart:
    """Return the geometry of a curve over steps; a rate's axis is 0 to 1."""
    points = [(step, value) for step, value in points if math.isfinite(value)] or [(0, 0.0)]
    steps, values = [step for step, _ in points], [value for _, value in points]
    low, high = (0.0, 1.0) if is_rate else _bounds(values)
    places = _places(points, (steps[0], steps[-1]), (low, high))
    path = _path(places)
    floor = HEIGHT - _BOTTOM
    return LineChart(
        path=path,
        area=f"{path} L{places[-1][0]:.1f} {floor:.1f} L{places[0][0]:.1f} {floor:.1f} Z",
        dots=tuple(
            (x, y, f"step {step}: {number(value)}") for (x, y), (step, value) in zip(places, points, strict=True)
        ),
        x_ticks=_x_ticks(steps[0], steps[-1]),
        y_ticks=_y_ticks(low, high),
        last=number(values[-1]),
    )


def overlay_chart(series: Mapping[str, Sequence[tuple[int, float]]], *, is_rate: bool = False) -> Overlay:
    """Return the geometry of several curves over the same steps; a rate's axis is 0 to 1."""
    plain = {name: [point for point in points if math.isfinite(point[1])] for name, points in series.items()}
    everything = [point for points in plain.values() for point in points] or [(0, 0.0)]
    low, high = (0.0, 1.0) if is_rate else _bounds([value for _, value in everything])
    steps = (min(step for step, _ in everything), max(step for step, _ in everything))
    return Overlay(
        paths=tuple((name, _path(_places(points, steps, (low, high)))) for name, points in plain.items()),
        points=" ".join(f"{step},{value},{name}" for name, points in plain.items() for step, value in points),
        x_ticks=_x_ticks(*steps),
        y_ticks=_y_ticks(low, high),
    )


def tool_rows(before: Mapping[str, Rates], after: Mapping[str, Rates] | None = None) -> list[ToolRow]:
    """Return the rows of the chart by tool; a tool that one side lacks counts as 0 there."""
    tools = sorted({*before, *(after or {})})
    return [
        ToolRow(
            tool,
            before[tool].num_cases if tool in before else (after or {})[tool].num_cases,
            before[tool].conforming_rate if tool in before else 0.0,
            None if after is None else (after[tool].conforming_rate if tool in after else 0.0),
        )
        for tool in tools
    ]


def number(value: float) -> str:
    """Return a number with three digits, small ones as `2.7e-4`."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        mantissa, _, power = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _places(
    points: Sequence[tuple[int, float]], steps: tuple[int, int], values: tuple[float, float]
) -> list[tuple[float, float]]:
    (first, last), (low, high) = steps, values
    return [
        (
            _LEFT + (step - first) / max(last - first, 1) * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM),
        )
        for step, value in points
    ]


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{'L' if place else 'M'}{x:.1f} {y:.1f}" for place, (x, y) in enumerate(places))


def _y_ticks(low: float, high: float) -> tuple[Tick, ...]:
    return tuple(
        Tick(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), number(low + share * (high - low)))
        for share in (0.0, 0.5, 1.0)
    )


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(0.0, *values), max(values)
    if high - low <= abs(low) * 1e-12 + 1e-300:
        return low, low + max(1.0, abs(low) / 10)
    return low, low + _round_up(high - low)


def _round_up(span: float) -> float:
    """Return the next number whose half reads well on an axis."""
    power = 10.0 ** math.floor(math.log10(span))
    return next(step * power for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if step * power >= span * 0.999)


def _x_ticks(first: int, last: int) -> tuple[Tick, ...]:
    span = max(last - first, 1)
    chosen = sorted({first, first + span // 2, last})
    return tuple(Tick(_LEFT + (step - first) / span * (WIDTH - _LEFT - _RIGHT), str(step)) for step in chosen)
