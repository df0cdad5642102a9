"""How many examples a dataset holds for each tool and cause, from what failed in the probe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.feedback.domain.work import ProbeVerdict

# What a row treats when its tool did not fail: nothing, it keeps a skill in practice.
NO_CAUSE = "none"
# This share is spread evenly, so that no skill is forgotten while others are learnt.
FLOOR_SHARE = 0.25

KeyT = TypeVar("KeyT")


@dataclass(frozen=True)
class Share:
    """`count` examples of one tool that treat one cause."""

    tool: str
    cause: str
    count: int


def plan(verdicts: Sequence[ProbeVerdict], tools: Sequence[str], num_examples: int) -> tuple[Share, ...]:
    """Return shares that sum to `num_examples`: a floor for every tool, the rest in proportion to what failed.

    A tool's weight is its failure rate, drawn a little towards that of all tools because a probe has few cases of
    each; a tool that was not probed counts as failing as often as all. Its examples are divided over the causes of
    its own failures in proportion to how often they occurred.
    """
    failed = Counter(verdict.tool for verdict in verdicts if verdict.cause)
    probed = Counter(verdict.tool for verdict in verdicts)
    overall = failed.total() / probed.total() if probed else 1.0
    weights = {tool: (failed[tool] + overall) / (probed[tool] + 1) for tool in tools}
    mass = sum(weights.values()) or 1.0
    even = FLOOR_SHARE / len(tools)
    counts = apportion(num_examples, {tool: even + (1 - FLOOR_SHARE) * weights[tool] / mass for tool in tools})
    return tuple(
        Share(tool, cause, count)
        for tool in tools
        for cause, count in apportion(counts[tool], _causes(verdicts, tool, probed[tool])).items()
        if count
    )


def apportion(total: int, weights: Mapping[KeyT, float]) -> dict[KeyT, int]:
    """Divide `total` in proportion to `weights` by largest remainders; equal remainders go to the earlier key."""
    mass = sum(weights.values())
    if not mass:
        weights, mass = dict.fromkeys(weights, 1.0), float(len(weights))
    exact = {key: total * weight / mass for key, weight in weights.items()}
    counts = {key: int(value) for key, value in exact.items()}
    # Rounding keeps remainders that are equal on paper equal here, so that the order of the keys decides.
    by_remainder = sorted(exact, key=lambda key: -round(exact[key] - counts[key], 9))
    for key in by_remainder[: total - sum(counts.values())]:
        counts[key] += 1
    return counts


def sentence(shares: Sequence[Share]) -> str:
    """Say what a plan holds in one sentence for a person."""
    by_tool: Counter[str] = Counter()
    by_cause: Counter[str] = Counter()
    for share in shares:
        by_tool[share.tool] += share.count
        by_cause[share.cause] += share.count
    causes = ", ".join(f"{cause} {count}" for cause, count in by_cause.most_common(4))
    (most, highest), (least, lowest) = by_tool.most_common(1)[0], by_tool.most_common()[-1]
    spread = f"{highest} of {most} to {lowest} of {least}"
    return f"{by_tool.total()} examples for {len(by_tool)} tools ({spread}), treating {causes}."


def _causes(verdicts: Sequence[ProbeVerdict], tool: str, num_probed: int) -> Mapping[str, float]:
    counts = Counter(verdict.cause for verdict in verdicts if verdict.cause and verdict.tool == tool)
    if not counts and not num_probed:
        counts = Counter(verdict.cause for verdict in verdicts if verdict.cause)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))) or {NO_CAUSE: 1.0}
