"""Paired measurements: both sides in turn, so that what else the machine does falls on both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """One comparison; `ours` and `peer` are medians of cases per second, ratios are ours by the peer's."""

    name: str
    ours: float
    peer: float
    ratio_median: float
    ratio_min: float
    ratio_max: float
    pairs: int
    details: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)


def compare(
    name: str, ours: Callable[[], float], peer: Callable[[], float], *, pairs: int, details: Mapping[str, Any]
) -> Comparison:
    """Measure both sides `pairs` times, each first in turn; a side returns its cases per second."""
    values: list[tuple[float, float]] = []
    for number in range(pairs):
        first, second = (ours, peer) if number % 2 == 0 else (peer, ours)
        one, other = first(), second()
        values.append((one, other) if number % 2 == 0 else (other, one))
        print(f"  {name} {number + 1}/{pairs}: {values[-1][0]:.3f} against {values[-1][1]:.3f} cases/s", flush=True)
    return comparison_of(name, values, details)


def comparison_of(name: str, values: Sequence[tuple[float, float]], details: Mapping[str, Any]) -> Comparison:
    """The comparison of pairs of cases per second, ours first."""
    ratios = sorted(one / other for one, other in values)
    return Comparison(
        name,
        median(one for one, _ in values),
        median(other for _, other in values),
        median(ratios),
        ratios[0],
        ratios[-1],
        len(values),
        details,
    )
