"""95 % intervals and tests for shares and for means over cases.

Shares get Wilson's score interval: near 0 and 1, and with few cases, it covers what it claims, where the normal one
does not, and it is not as wide as the exact one of Clopper and Pearson. Repeats of one case are not independent of one
another, so with repeats the number of transcripts is divided by the design effect of the cases as clusters. Means over
cases get a percentile bootstrap that draws whole cases.
"""

import math
from collections.abc import Sequence

from services.evaluator.domain.metrics import NOTHING, Interval

NUM_RESAMPLES = 10_000
_SEED = 20_26_11
_Z = 1.959963984540054
_PERCENTILES = (2.5, 97.5)


def share_interval(successes: float, total: float) -> Interval:
    """Return Wilson's interval of a share; `total` may be an effective number."""
    if total <= 0:
        return NOTHING
    share, z2 = successes / total, _Z * _Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return Interval(max(0.0, middle - half) if successes > 0 else 0.0, min(1.0, middle + half) if share < 1 else 1.0)


def clustered_interval(successes: Sequence[int], totals: Sequence[int]) -> Interval:
    """Return the interval of the share of successes among repeats of cases, a pair of numbers for each case.

    The design effect is the variance between cases of the ratio estimate over the binomial one, held between 1 and the
    mean number of repeats; when all repeats of all cases agree they tell no more than one repeat each.
    """
    total, count = sum(totals), sum(successes)
    if not total:
        return NOTHING
    share, num_cases = count / total, len(totals)
    most = total / num_cases
    if most <= 1 or num_cases < 2 or share in (0, 1):
        return _with_effect(count, total, most)
    spread = sum(
        (num_conforming - share * num_answers) ** 2
        for num_conforming, num_answers in zip(successes, totals, strict=True)
    )
    variance = num_cases / (num_cases - 1) * spread / total**2
    return _with_effect(count, total, min(most, max(1.0, variance * total / (share * (1 - share)))))


def copied_interval(successes: int, total: int, num_repeats: int) -> Interval:
    """Return the interval of a share of transcripts as if repeats of one case were copies: never too narrow."""
    return _with_effect(successes, total, max(1, num_repeats))


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the percentile bootstrap interval of a mean over cases.

    Where all cases have the same value, 0 or 1, resampling cannot tell how sure that is: then it is Wilson's interval.
    """
    if not values:
        return NOTHING
    if min(values) == max(values) and values[0] in (0, 1):
        return share_interval(sum(values), len(values))
    return _bootstrap_interval(values)


def paired_interval(differences: Sequence[float]) -> Interval:
    """Return the percentile bootstrap interval of the mean of paired differences, a number for each case."""
    return _bootstrap_interval(differences) if differences else NOTHING


def sign_test(num_up: int, num_down: int) -> float:
    """Return the two-sided p-value of an exact sign test; on one repeat a case it is McNemar's exact test."""
    total = num_up + num_down
    if not total:
        return 1.0
    # The binomial coefficients of the tail, each from the one before: that costs far less than each by itself.
    coefficient = tail = 1
    for place in range(min(num_up, num_down)):
        coefficient = coefficient * (total - place) // (place + 1)
        tail += coefficient
    # An integer division: both numbers may be far beyond what a float holds.
    p_value: float = 2 * tail / (1 << total)
    return min(1.0, p_value)


def _with_effect(successes: int, total: int, effect: float) -> Interval:
    return share_interval(successes / effect, total / effect)


def _bootstrap_interval(values: Sequence[float]) -> Interval:
    """Return where the means of resamples lie, always the same for the same values.

    Drawing n of n cases with replacement fixes only how often each distinct value is drawn, which is multinomial: that
    costs the number of distinct values, not the number of cases.
    """
    # Loading it takes a tenth of a second, which every start would pay.
    import numpy as np

    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    counts_drawn = np.random.default_rng(_SEED).multinomial(len(values), counts / len(values), size=NUM_RESAMPLES)
    low, high = np.percentile(counts_drawn @ distinct / len(values), _PERCENTILES)
    return Interval(float(low), float(high))
