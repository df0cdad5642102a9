"""Metrics: what the verdicts of an evaluation amount to."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; both ends are 0 when nothing was counted."""

    low: float = 0.0
    high: float = 0.0


NOTHING = Interval()


@dataclass(frozen=True)
class Rates:
    """Shares of transcripts with an answer, 0 to 1, with their intervals; all 0 when there are none.

    `num_cases` are those with an answer, `num_unanswered` those that the machine left without one.
    """

    num_cases: int = 0
    conforming_rate: float = 0.0
    accepted_rate: float = 0.0
    well_formed_rate: float = 0.0
    conforming_interval: Interval = NOTHING
    accepted_interval: Interval = NOTHING
    well_formed_interval: Interval = NOTHING
    num_unanswered: int = 0


@dataclass(frozen=True)
class LayerRate:
    """How often one layer passed where it applied."""

    num_applicable: int = 0
    num_passed: int = 0
    rate: float = 0.0
    interval: Interval = NOTHING
    mean_score: float = 0.0


@dataclass(frozen=True)
class RepeatRate:
    """pass@k and pass^k, means over cases."""

    k: int
    pass_at_k: float
    pass_hat_k: float
    pass_at_k_interval: Interval = NOTHING
    pass_hat_k_interval: Interval = NOTHING


@dataclass(frozen=True)
class Quantiles:
    """Of a quantity in seconds."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0


@dataclass(frozen=True)
class Usage:
    """What all answers took; `latency` is the time to answer one case, reading and writing."""

    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_generated_tokens: int = 0
    latency: Quantiles = Quantiles()
    tokens_per_second: float = 0.0


@dataclass(frozen=True)
class Recovery:
    """Conforming answers among those that had a client's error to recover from."""

    num_cases: int = 0
    rate: float = 0.0
    interval: Interval = NOTHING


@dataclass(frozen=True)
class Metrics:
    """What the verdicts amount to.

    Attributes:
        by_tool: sorted by name.
        by_cause: counts, most frequent first.
        by_category: by the first word of the kind of task, sorted.
        by_layer: in the layers' order.
        by_repeats: for k from 1 to the number of repeats.
        flaky_rate: share of cases whose repeats do not all agree.
        mean_scores: of each reward component where it applies.
        advice: sentences that a person can act on, the most useful first.
    """

    overall: Rates = Rates()
    by_tool: Mapping[str, Rates] = field(default_factory=dict)
    by_cause: Mapping[str, int] = field(default_factory=dict)
    by_category: Mapping[str, Rates] = field(default_factory=dict)
    by_layer: Mapping[str, LayerRate] = field(default_factory=dict)
    by_repeats: tuple[RepeatRate, ...] = ()
    flaky_rate: float = 0.0
    recovery: Recovery = Recovery()
    mean_turns: float = 0.0
    usage: Usage = Usage()
    mean_scores: Mapping[str, float] = field(default_factory=dict)
    advice: tuple[str, ...] = ()
