"""Draws scenarios: balanced over categories and kinds, the same for the same seed, in splits that share no call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator

from services.protocols.profile import Split
from services.protocols.roo.scenarios.catalogue import CATEGORIES
from services.protocols.roo.scenarios.nouns import Kind, Protocol, Scenario
from services.protocols.roo.scenarios.stocks import StockName, load_stock
from services.protocols.roo_xml.authoring.draw import SLOT, Draw, Stock

_NUM_BUCKETS = 8
_MAX_MISSES = 2_000
_CLOSED_TOOLS = frozenset(("fetch_instructions",))


class StockExhausted(ValueError):
    """A category has no further scenario that differs from those before."""


class UnknownCategory(ValueError):
    """There is no category of this name."""


def scenarios(
    protocol: Protocol,
    seed: int,
    count: int,
    *,
    categories: Collection[str] | None = None,
    stock: StockName = "pool",
    split: Split = "train",
) -> Iterator[Scenario]:
    """Yield `count` scenarios that `protocol` has, the categories in turn, and in each its kinds in turn.

    Args:
        protocol: leaves out situations that this protocol does not have.
        seed: equal seeds give equal scenarios.
        count: how many.
        categories: names of those wanted; all when None.
        stock: the words and wordings to draw from; suite and pool share none.
        split: of the pool; it follows from the first right call, so no such call is in two splits, whatever the seed.
            A suite has no splits.

    Raises:
        UnknownCategory: one of `categories` is none, or there are none at all.
        StockExhausted: a category runs out of scenarios.
    """
    chosen = _chosen(categories)
    sources = [_endless(protocol, seed, category, stock, split) for category in chosen]
    for number in range(count):
        yield next(sources[number % len(sources)])


def _chosen(categories: Collection[str] | None) -> list[str]:
    unknown = sorted(set(categories or ()) - set(CATEGORIES))
    chosen = [name for name in CATEGORIES if categories is None or name in categories]
    if unknown or not chosen:
        known = ", ".join(CATEGORIES)
        raise UnknownCategory(f"{', '.join(unknown) or 'nothing'} is no category; the categories are: {known}")
    return chosen


def _endless(protocol: Protocol, seed: int, category: str, name: StockName, split: Split) -> Iterator[Scenario]:
    kinds = [(kind, found) for kind, found in CATEGORIES[category].items() if protocol in found.protocols]
    stock, seen, misses, index, turn = load_stock(name), set[str](), 0, 0, 0
    while misses < _MAX_MISSES:
        scenario = _scenario(stock, f"{name}-{seed}-{category}-{index}", category, *kinds[turn % len(kinds)])
        index, misses = index + 1, misses + 1
        if scenario.task not in seen and (name == "suite" or split_of(scenario) == split):
            seen.add(scenario.task)
            turn, misses = turn + 1, 0
            yield scenario
    raise StockExhausted(f"the stock {name!r} has no further scenario of {category}")


def _scenario(stock: Stock, scenario_id: str, category: str, name: str, kind: Kind) -> Scenario:
    draw = Draw(stock, f"{scenario_id}-{name}")
    group, key = kind.wordings
    wording = draw.pick(stock.wordings[group][key])
    draft = kind.build(draw)
    task = SLOT.sub(lambda found: draft.slots[found[1]], wording)
    return Scenario(scenario_id, f"{category}.{name}", SLOT.sub("{}", wording), task, draft)


def split_of(scenario: Scenario) -> Split:
    """Return the split that a scenario of the pool belongs to: one eighth probe, one eighth validation."""
    call = scenario.draft.steps[0].call
    key = scenario.task if call.tool in _CLOSED_TOOLS else json.dumps(dict(call.arguments), sort_keys=True)
    bucket = hashlib.sha256(f"{call.tool}\0{key}".encode()).digest()[0] % _NUM_BUCKETS
    return {0: "probe", 1: "validation"}.get(bucket, "train")  # type: ignore[return-value]
