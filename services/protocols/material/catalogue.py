"""Draws scenarios: balanced over categories or tools, the same for the same seed, in splits that share no call."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from services.protocols.material.draw import SLOT, Draw, Split, Stock, StockName, load_stock
from services.protocols.material.scenario import Kind, Scenario

SINGLE_CALL = "single_call"
"""The category of single calls, whose kinds come tool by tool."""

_FRAME = "frame"
_NUM_BUCKETS = 8
_MAX_MISSES = 2_000


class StockExhausted(ValueError):
    """There is no further scenario that differs from those before."""


class UnknownCategory(ValueError):
    """There is no category of this name."""


@dataclass(frozen=True)
class Catalogue:
    """The kinds of scenarios by category, and where their words are.

    Attributes:
        package: holds the stocks `suite.toml` and `pool.toml`, which share no words and no wordings.
        categories: kinds by name, in the order in which they are drawn.
        closed_tools: tools whose calls say too little of the task to tell tasks apart.
        names_slots: a case's template keeps the names of its slots.
    """

    package: str
    categories: Mapping[str, Mapping[str, Kind]]
    closed_tools: Collection[str] = ()
    names_slots: bool = False

    def for_protocol(self, protocol: str) -> Catalogue:
        """Return the kinds of situations that a protocol has."""
        categories = {
            category: {name: kind for name, kind in kinds.items() if protocol in (kind.protocols or (protocol,))}
            for category, kinds in self.categories.items()
        }
        return replace(self, categories=categories)

    def draw(
        self,
        seed: int,
        count: int,
        *,
        tools: Collection[str] | None = None,
        categories: Collection[str] | None = None,
        stock: StockName = "pool",
        split: Split = "train",
    ) -> Iterator[Scenario]:
        """Yield `count` scenarios, the categories in turn and in each its kinds; or, with `tools`, the tools in turn.

        Args:
            seed: equal seeds give equal scenarios.
            count: how many.
            tools: only scenarios whose first right call is of one of these.
            categories: names of those to draw from; all when None.
            stock: the side whose words are drawn.
            split: a part of the pool; it follows from the first right answer, so no such answer is in two splits,
                whatever the seed. A suite has no splits.

        Raises:
            UnknownCategory: one of `categories` is none, or there are none at all.
            StockExhausted: a category or a tool runs out of scenarios.
        """
        names = self._chosen(categories)
        parts: list[tuple[list[str], str]] = (
            [([name], "") for name in names] if tools is None else [(names, tool) for tool in dict.fromkeys(tools)]
        )
        sources = [
            self._scenarios(f"{stock}-{seed}", kinds, tool, None if stock == "suite" else split)
            for kinds, tool in parts
        ]
        for number in range(count if sources else 0):
            yield next(sources[number % len(sources)])

    def split_of(self, scenario: Scenario) -> Split:
        """Return the split that a scenario of the pool belongs to: one eighth probe, one eighth validation."""
        calls = scenario.draft.turns[0] if scenario.draft.turns else ()
        is_closed = not calls or any(step.tool in self.closed_tools for step in calls)
        values = [[step.tool, dict(step.arguments)] for step in calls]
        key = scenario.request if is_closed else json.dumps(values, sort_keys=True)
        bucket = hashlib.sha256(key.encode()).digest()[0] % _NUM_BUCKETS
        return "probe" if bucket == 0 else "validation" if bucket == 1 else "train"

    def _chosen(self, categories: Collection[str] | None) -> list[str]:
        unknown = sorted(set(categories or ()) - set(self.categories))
        chosen = [name for name in self.categories if categories is None or name in categories]
        if unknown or not chosen:
            names = ", ".join(self.categories)
            raise UnknownCategory(f"{', '.join(unknown) or 'nothing'} is no category; the categories are: {names}")
        return chosen

    def _scenarios(self, prefix: str, categories: Sequence[str], tool: str, split: Split | None) -> Iterator[Scenario]:
        side: StockName = "suite" if split is None else "pool"
        lanes = [lane for name in categories for lane in self._lanes(name, tool, side)]
        label = "-".join((*(categories if len(categories) == 1 else ()), *([tool] if tool else ())))
        stock = load_stock(self.package, side)
        seen, index, place, misses = set[str](), 0, 0, 0
        while lanes and misses < _MAX_MISSES:
            lane = lanes[place % len(lanes)]
            scenario = self._scenario(stock, f"{prefix}-{label}-{index}", *lane[0])
            index, misses = index + 1, misses + 1
            is_new = scenario.task not in seen and (split is None or self.split_of(scenario) == split)
            is_other = scenario.tool != tool and bool(tool)
            # A kind that has its tool's other kinds beside it need not wait for a new task of its own.
            if is_new or is_other or lane[0][2].tool:
                lane.rotate(-1)
            place += is_new or is_other
            if is_new and not is_other:
                seen.add(scenario.task)
                misses = 0
                yield scenario
        raise StockExhausted(f"the stock of {prefix} has no further scenario of {label}")

    def _lanes(self, category: str, tool: str, side: StockName) -> list[deque[tuple[str, str, Kind]]]:
        """Return a category's kinds as they come, each as often as its weight; a lane for each tool that kinds name."""
        lanes: dict[str, deque[tuple[str, str, Kind]]] = {}
        kinds = {name: kind for name, kind in self.categories[category].items() if kind.stock in ("", side)}
        for turn in range(max(kind.weight for kind in kinds.values())):
            for name, kind in kinds.items():
                if kind.weight > turn and kind.tool in ("", tool or kind.tool):
                    lanes.setdefault(kind.tool, deque()).append((category, name, kind))
        return list(lanes.values())

    def _scenario(self, stock: Stock, scenario_id: str, category: str, name: str, kind: Kind) -> Scenario:
        is_single = category == SINGLE_CALL
        draw = Draw(stock, f"{scenario_id}-{name}", has_more=not is_single)
        group, key = kind.wordings
        wording = draw.pick(stock.wordings[group][key])
        draft = kind.build(draw)
        is_framed = not is_single and _FRAME in stock.words
        framed = draw.sentence(_FRAME, wording=wording) if is_framed else wording
        request, task = (SLOT.sub(lambda slot: str(draft.slots[slot[1]]), text) for text in (wording, framed))
        template = framed if self.names_slots else SLOT.sub("{}", framed)
        return Scenario(scenario_id, f"{category}.{name}", template, request, task, draft, draw.random)
