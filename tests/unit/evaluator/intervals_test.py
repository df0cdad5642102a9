"""Intervals and tests against exact references on known distributions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from services.evaluator.domain.metrics import NOTHING, Interval
from services.evaluator.metrics.intervals import (
    clustered_interval,
    copied_interval,
    mean_interval,
    paired_interval,
    share_interval,
    sign_test,
)


def exact_bootstrap(values: Sequence[float]) -> Interval:
    """The percentile interval of the mean's bootstrap distribution itself: all n**n resamples, by their counts."""
    n, weights = len(values), dict[float, int]()
    for drawn in itertools.combinations_with_replacement(range(n), n):
        ways = math.factorial(n)
        for place in set(drawn):
            ways //= math.factorial(drawn.count(place))
        mean = round(sum(values[place] for place in drawn) / n, 12)
        weights[mean] = weights.get(mean, 0) + ways
    return Interval(_quantile(weights, 0.025, n**n), _quantile(weights, 0.975, n**n))


def binomial_bootstrap(num_ones: int, n: int) -> Interval:
    """The same for n cases of which some are 1 and the rest 0: the mean is binomial."""
    ones, zeros = num_ones, n - num_ones
    weights = {place / n: math.comb(n, place) * ones**place * zeros ** (n - place) for place in range(n + 1)}
    return Interval(_quantile(weights, 0.025, n**n), _quantile(weights, 0.975, n**n))


def _quantile(weights: dict[float, int], share: float, total: int) -> float:
    reached = Fraction(0)
    for value in sorted(weights):
        reached += Fraction(weights[value], total)
        if reached >= Fraction(share):
            return value
    raise AssertionError("weights do not reach the total")


@pytest.mark.parametrize(("num_ones", "n"), [(12, 40), (150, 300), (9, 300), (297, 300), (640, 1000)])
def test_a_bootstrap_of_ones_and_zeros_is_the_binomial_one(num_ones: int, n: int) -> None:
    found, exact = mean_interval([1.0] * num_ones + [0.0] * (n - num_ones)), binomial_bootstrap(num_ones, n)
    # One case is the grain of the distribution, and resampling may miss its edge by one grain.
    assert found.low == pytest.approx(exact.low, abs=1.01 / n)
    assert found.high == pytest.approx(exact.high, abs=1.01 / n)


@pytest.mark.parametrize(
    "values", [(0.0, 0.25, 0.5, 0.5, 1.0, 1.0), (-1.0, 0.0, 0.0, 0.5, 1.0, 1.0, 0.25), (0.2, 0.4, 0.4, 0.9, 0.1)]
)
def test_a_bootstrap_of_few_values_is_that_of_all_resamples(values: tuple[float, ...]) -> None:
    found, exact = paired_interval(values), exact_bootstrap(values)
    assert found.low == pytest.approx(exact.low, abs=0.05)
    assert found.high == pytest.approx(exact.high, abs=0.05)


def test_drawing_counts_is_the_same_as_drawing_cases() -> None:
    values = np.repeat([-1.0, 0.0, 0.5, 1.0], [20, 60, 5, 35])
    drawn = np.random.default_rng(1).choice(values, size=(20_000, len(values))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    found = paired_interval([float(value) for value in values])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_a_bootstrap_is_the_same_each_time() -> None:
    values = [0.0, 0.5, 1.0] * 40
    assert mean_interval(values) == mean_interval(list(values))


def test_an_interval_covers_the_truth_as_often_as_it_claims() -> None:
    drawn = np.random.default_rng(7).binomial(120, 0.2, size=4000)
    covered = sum(share_interval(int(one), 120).low <= 0.2 <= share_interval(int(one), 120).high for one in drawn)
    assert covered / len(drawn) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # By hand from Wilson's formula with z = 1.959964; the first is the textbook's 1 of 10.
    [(1, 10, 0.01788, 0.40415), (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (50, 100, 0.40383, 0.59617)],
)
def test_shares_have_wilsons_interval(successes: int, total: int, low: float, high: float) -> None:
    found = share_interval(successes, total)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_nothing_has_no_interval() -> None:
    found = (share_interval(0, 0), clustered_interval([], []), mean_interval([]), paired_interval([]))
    assert found == (NOTHING,) * 4


def test_one_answer_a_case_needs_no_clusters() -> None:
    assert clustered_interval([1, 0, 1, 1], [1, 1, 1, 1]) == share_interval(3, 4)


def test_repeats_that_are_copies_count_once() -> None:
    copies = clustered_interval([5] * 30 + [0] * 10, [5] * 40)
    once = share_interval(30, 40)
    assert (copies.low, copies.high) == (pytest.approx(once.low, abs=1e-9), pytest.approx(once.high, abs=1e-9))
    assert clustered_interval([5] * 40, [5] * 40) == share_interval(40, 40)


def test_repeats_that_are_independent_count_nearly_all() -> None:
    found = clustered_interval([int(one) for one in np.random.default_rng(3).binomial(5, 0.6, size=400)], [5] * 400)
    all_of_them = share_interval(1200, 2000)
    assert found.high - found.low < 1.25 * (all_of_them.high - all_of_them.low)


def test_clustered_intervals_cover_the_truth_when_cases_differ() -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(800):
        chances = generator.beta(1, 1, size=80)
        got = [int(one) for one in generator.binomial(4, chances)]
        found = clustered_interval(got, [4] * 80)
        covered += found.low <= 0.5 <= found.high
    assert covered / 800 == pytest.approx(0.95, abs=0.025)


def test_where_cases_are_not_known_repeats_count_as_copies() -> None:
    assert copied_interval(80, 100, 4) == share_interval(20, 25)


@pytest.mark.parametrize(
    ("up", "down", "p_value"), [(0, 0, 1.0), (1, 1, 1.0), (5, 0, 0.0625), (9, 1, 22 / 1024), (3, 7, 352 / 1024)]
)
def test_the_sign_test_is_exact(up: int, down: int, p_value: float) -> None:
    assert sign_test(up, down) == sign_test(down, up) == pytest.approx(p_value)


def test_the_sign_test_bears_many_cases() -> None:
    assert sign_test(5000, 5000) == 1.0
    assert 0 < sign_test(5200, 4800) < 0.0001
