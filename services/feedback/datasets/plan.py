"""How many examples a dataset holds for each tool, kind of task and cause, from what failed in the probe."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from typing import TypeVar

from services.feedback.datasets.cells import Cell
from services.protocols.verdict import NOT_THE_MODELS

# What a row treats when its cell did not fail: nothing, it keeps a skill in practice.
NO_CAUSE = "none"
# This share is spread as the suite is, so that no skill is forgotten while others are learnt.
FLOOR_SHARE = 0.25

KeyT = TypeVar("KeyT")


@dataclass(frozen=True)
class Result:
    """What became of one case of a probe; `cause` is empty when the answer conforms."""

    cell: Cell
    cause: str


@dataclass(frozen=True)
class Share:
    """`count` examples of one cell that treat one cause."""

    cell: Cell
    cause: str
    count: int


def plan(
    results: Sequence[Result],
    cell_weights: Mapping[Cell, float],
    num_examples: int,
    *,
    seed: int,
    replay_share: float = 0.0,
) -> tuple[Share, ...]:
    """Return shares that sum to `num_examples`: a floor as the suite is made, the rest in proportion to what failed.

    A cell's weight is its part of the suite times its failure rate, drawn a little towards that of the other cells of
    its kind, and theirs towards that of all, because a probe has few cases of each; what was not probed counts as
    failing as often as its like. Its examples are divided over the causes of its own failures in proportion to how
    often they occurred. What a server or a chat template failed at says nothing of the model and counts for nothing.
    `replay_share` of the examples are spread over the cells by how seldom they failed.
    """
    results = [result for result in results if result.cause not in NOT_THE_MODELS]
    failed, probed = _Tally([result for result in results if result.cause]), _Tally(results)
    overall = failed.num / probed.num if probed.num else 1.0
    whole = sum(cell_weights.values())
    parts = {cell: part / whole for cell, part in cell_weights.items()}
    weights: dict[Cell, float] = {}
    skills: dict[Cell, float] = {}
    for cell, part in parts.items():
        own, like = probed.cells[cell], probed.kinds[cell.kind]
        prior = (failed.kinds[cell.kind] - failed.cells[cell] + overall) / (like - own + 1)
        weights[cell] = part * (failed.cells[cell] + prior) / (own + 1)
        skills[cell] = part - weights[cell]
    mass = sum(weights.values()) or 1.0
    shares = {cell: FLOOR_SHARE * part + (1 - FLOOR_SHARE) * weights[cell] / mass for cell, part in parts.items()}
    num_replayed = round(replay_share * num_examples)
    replayed = apportion_cells(num_replayed, skills if any(skills.values()) else parts, seed=seed)
    counts = apportion_cells(num_examples - num_replayed, shares, seed=seed)
    return tuple(
        Share(cell, cause, count)
        for cell in parts
        for cause, count in apportion(counts[cell] + replayed[cell], _causes(results, cell)).items()
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


def apportion_cells(total: int, weights: Mapping[Cell, float], *, seed: int) -> dict[Cell, int]:
    """Divide `total` over the kinds, and what a kind gets over its cells.

    A kind may get fewer than it has cells: which of them get something, the seed decides, each in proportion to its
    weight in the long run.
    """
    kinds: dict[str, dict[Cell, float]] = {}
    for cell, weight in weights.items():
        kinds.setdefault(cell.kind, {})[cell] = weight
    counts = apportion(total, {kind: sum(cells.values()) for kind, cells in kinds.items()})
    spread = (_spread(counts[kind], cells, f"{seed}/{kind}") for kind, cells in kinds.items())
    return {cell: count for cells in spread for cell, count in cells.items()}


def sentence(shares: Sequence[Share]) -> str:
    """Say what a plan holds in one sentence for a person."""
    by_tool, by_category, by_cause = (
        _counts(shares, key) for key in (_tool_of, lambda share: share.cell.category, lambda share: share.cause)
    )
    causes = ", ".join(f"{cause} {count}" for cause, count in by_cause.most_common(4))
    (most, highest), (least, lowest) = by_tool.most_common(1)[0], by_tool.most_common()[-1]
    kinds = f" in {len(by_category)} kinds of task" if len(by_category) > 1 else ""
    spread = f"{highest} of {most} to {lowest} of {least}"
    return f"{by_tool.total()} examples for {len(by_tool)} tools{kinds} ({spread}), treating {causes}."


class _Tally:
    def __init__(self, results: Sequence[Result]) -> None:
        self.num = len(results)
        self.cells = Counter(result.cell for result in results)
        self.kinds = Counter(result.cell.kind for result in results)


def _spread(total: int, weights: Mapping[Cell, float], seed: str) -> dict[Cell, int]:
    """Lay `total` points at equal distances over the cells' weights, the first at random."""
    first = random.Random(seed).random()
    step = sum(weights.values()) / total if total else 1.0
    ends = [round(end / step - first, 9) for end in accumulate(weights.values())]
    below = [min(max(ceil(end), 0), total) for end in ends[:-1]]
    bounds = (0, *below, total)
    return {cell: bounds[place + 1] - bounds[place] for place, cell in enumerate(weights)}


def _tool_of(share: Share) -> str:
    return share.cell.tool


def _counts(shares: Sequence[Share], key: Callable[[Share], str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for share in shares:
        counts[key(share)] += share.count
    return counts


def _causes(results: Sequence[Result], cell: Cell) -> Mapping[str, float]:
    own = [result for result in results if result.cell == cell]
    like = own or [result for result in results if result.cell.kind == cell.kind] or results
    counts = Counter(result.cause for result in like if result.cause)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))) or {NO_CAUSE: 1.0}
