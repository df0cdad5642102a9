"""Paired measurements: both sides in turn, so that what else the machine does falls on both."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Comparison:
    """One comparison; `ours` and `peer` are medians of cases per second, or of what the details name as `unit`.

    Ratios are ours by the peer's.
    """

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


def in_turn(
    ours: Callable[[], Value], peer: Callable[[], Value], *, pairs: int, budget_seconds: float = float("inf")
) -> list[tuple[Value, Value]]:
    """What both sides return, ours first, each called first in turn.

    After `budget_seconds` no further pair is begun, but there is one.
    """
    values: list[tuple[Value, Value]] = []
    start = time.monotonic()
    while len(values) < pairs and not (values and time.monotonic() - start > budget_seconds):
        if len(values) % 2 == 0:
            values.append((ours(), peer()))
        else:
            other = peer()
            values.append((ours(), other))
    return values


def compare(
    name: str, ours: Callable[[], float], peer: Callable[[], float], *, pairs: int, details: Mapping[str, Any]
) -> Comparison:
    """Measure both sides `pairs` times, each first in turn; a side returns its cases per second."""

    def told(side: str, measure: Callable[[], float]) -> Callable[[], float]:
        def measured() -> float:
            speed = measure()
            print(f"  {name}, {side}: {speed:.3f} cases/s", flush=True)
            return speed

        return measured

    return comparison_of(name, in_turn(told("ours", ours), told("peer", peer), pairs=pairs), details)


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
