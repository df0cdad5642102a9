"""Reduces verdicts to rates and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from services.evaluator.domain.evaluation import Metrics, Rates, Tally
from services.evaluator.domain.verdict import Verdict


def tally(verdicts: Iterable[Verdict]) -> list[Tally]:
    """Count verdicts that are alike in all that metrics look at."""
    alike = Counter((item.tool, item.cause, item.conforming, item.accepted, item.well_formed) for item in verdicts)
    return [Tally(*key, count=count) for key, count in alike.items()]


def reduce_tallies(tallies: Sequence[Tally]) -> Metrics:
    """Return the metrics of the verdicts that `tallies` count."""
    tools = sorted({item.tool for item in tallies})
    causes: Counter[str] = Counter()
    for item in tallies:
        if item.cause:
            causes[item.cause] += item.count
    return Metrics(
        overall=rates(tallies),
        by_tool={tool: rates([item for item in tallies if item.tool == tool]) for tool in tools},
        by_cause=dict(sorted(causes.items(), key=lambda entry: (-entry[1], entry[0]))),
    )


def rates(tallies: Sequence[Tally]) -> Rates:
    """Return the rates of the verdicts that `tallies` count."""
    total = sum(item.count for item in tallies)
    if not total:
        return Rates()
    return Rates(
        num_cases=total,
        conforming_rate=sum(item.count for item in tallies if item.conforming) / total,
        accepted_rate=sum(item.count for item in tallies if item.accepted) / total,
        well_formed_rate=sum(item.count for item in tallies if item.well_formed) / total,
    )
