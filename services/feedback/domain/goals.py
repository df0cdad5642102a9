"""What a loop must reach: a metric, perhaps of a slice of the suite, and a bound, kept by more than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

Slice = str
"""Some of a suite's cases, such as "tool=apply_diff"; empty for all."""


@dataclass(frozen=True)
class Metric:
    """What can be measured: its words, the kinds of slices that have it, and on which side it is bounded."""

    words: str
    slices: tuple[str, ...] = ("",)
    is_bounded_above: bool = False
    is_share: bool = True


USUAL_CONFIDENCE = 0.95
RATES = ("conforming_rate", "accepted_rate", "well_formed_rate")
METRICS: Mapping[str, Metric] = {
    "conforming_rate": Metric("conforming rate", ("", "tool", "category")),
    "accepted_rate": Metric("accepted rate", ("", "tool", "category")),
    "well_formed_rate": Metric("well formed rate", ("", "tool", "category")),
    "layer_rate": Metric("pass rate", ("layer",)),
    "pass_hat_k": Metric("pass^k"),
    "cause_rate": Metric("failure rate", ("cause",), is_bounded_above=True),
    "seconds_per_answer": Metric("time per answer", is_bounded_above=True, is_share=False),
}


@dataclass(frozen=True)
class Reading:
    """A metric as it was measured.

    Attributes:
        value: The share, 0 to 1, or the seconds.
        num_cases: Cases behind it; repeats of one case count as one, since they may be copies of one another.
    """

    value: float
    num_cases: int = 0


Readings = Mapping[tuple[str, Slice], Reading]
"""What an evaluation measured, by metric and slice."""


@dataclass(frozen=True)
class Goal:
    """A bound that a metric of the suite must keep.

    Attributes:
        metric: A name of `METRICS`.
        minimum: The smallest value that meets it; 0 where the metric is bounded above.
        slice: Such as "tool=apply_diff"; empty for all cases.
        maximum: The largest value that meets it; 0 where the metric is bounded below.
        confidence: Of the interval whose end must keep the bound; 0 for the value itself, and so does None, which is
            what a release stored that knew no intervals.
    """

    metric: str
    minimum: float = 0.0
    slice: Slice = ""
    maximum: float = 0.0
    confidence: float | None = None

    @property
    def facts(self) -> Metric:
        """What the metric is."""
        return METRICS[self.metric]

    @property
    def words(self) -> str:
        """The metric as people say it, such as "conforming rate of tool=apply_diff"."""
        return self.facts.words + f" of {self.slice}" * bool(self.slice)

    @property
    def bound(self) -> float:
        """The value that must be reached, or kept to."""
        return self.maximum if self.facts.is_bounded_above else self.minimum

    def rank(self, reading: Reading) -> float:
        """Return a number that is greater for what is better."""
        return -reading.value if self.facts.is_bounded_above else reading.value

    def interval(self, reading: Reading) -> tuple[float, float]:
        """Return both ends of a reading's interval, of 95% where the share itself counts.

        What has none is the value itself: seconds, and goals of a release that knew no intervals.
        """
        if self.confidence is None or not self.facts.is_share:
            return reading.value, reading.value
        return share_interval(reading, self.confidence or USUAL_CONFIDENCE)

    def sure_value(self, reading: Reading) -> float:
        """Return what must keep the bound: the end of the interval that is nearer to it, or the value itself."""
        return reading.value if not self.confidence else self.interval(reading)[1 if self.facts.is_bounded_above else 0]

    def shortfall(self, reading: Reading) -> float:
        """Return how far a reading is from meeting the goal; 0 or less where it meets it."""
        missing = self.bound - self.sure_value(reading)
        return -missing if self.facts.is_bounded_above else missing

    def is_met(self, reading: Reading) -> bool:
        """Return whether the bound is kept; never by what has no case."""
        has_cases = bool(reading.num_cases) or self.confidence is None
        return has_cases and self.shortfall(reading) <= 0

    def best_reading(self, num_cases: int) -> Reading:
        """Return what a perfect version would be read as on that many cases."""
        return Reading(0.0 if self.facts.is_bounded_above else 1.0, num_cases)

    def text(self, value: float) -> str:
        """Return a value in the metric's unit."""
        return f"{value:.1%}" if self.facts.is_share else f"{value:.3g} s"

    def sentence(self, reading: Reading) -> str:
        """Return what was read against what was asked, without a stop at the end."""
        sign = "at most " * self.facts.is_bounded_above
        low, high = self.interval(reading)
        confidence = percent(self.confidence or USUAL_CONFIDENCE)
        sure = f"{self.text(low)} to {self.text(high)} at {confidence} confidence, " * (low < high)
        end = " for the share itself" * bool(sure and not self.confidence)
        return f"the {self.words} is {self.text(reading.value)} ({sure}goal {sign}{self.text(self.bound)}{end})"


def percent(confidence: float | None) -> str:
    """Return a confidence as people write it, such as "95%"."""
    return f"{100 * (confidence or 0.0):.4g}%"


def share_interval(reading: Reading, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval of a share, the one that evaluations show at 95 %; from 0 to 1 without cases."""
    total, share = reading.num_cases, reading.value
    if total <= 0:
        return 0.0, 1.0
    z2 = _z(confidence) ** 2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(z2 * (share * (1 - share) / total + z2 / (4 * total * total))) / (1 + z2 / total)
    low = max(0.0, middle - half) if share > 0 else 0.0
    return low, min(1.0, middle + half) if share < 1 else 1.0


def widened(mean: float, low: float, high: float, confidence: float) -> tuple[float, float]:
    """Return a 95 % interval around `mean` as one of another confidence, each half by the normal quantiles."""
    scale = _z(confidence) / _z(USUAL_CONFIDENCE)
    return mean - (mean - low) * scale, mean + (high - mean) * scale


def readings_of(goals: Sequence[Goal], readings: Readings) -> tuple[Reading, ...]:
    """Return what was read of each goal; what no case was counted for is a share of none."""
    return tuple(readings.get((goal.metric, goal.slice), Reading(0.0)) for goal in goals)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
