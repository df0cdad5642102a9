"""The built-in suite, and the training pool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator

from services.protocols.cases import Case
from services.protocols.profile import Split
from services.protocols.roo_xml.authoring.draft import case_of
from services.protocols.roo_xml.authoring.draw import Draw, Stock, load_stock
from services.protocols.roo_xml.authoring.skills import SKILLS
from services.protocols.roo_xml.tools import DRILLED_TOOLS
from services.protocols.suites import Suite
from services.protocols.suites.stored import stored_suites

CORE_SEED = "roo_xml/core/1"
SPLITS: tuple[Split, ...] = ("train", "validation", "probe")

_NUM_BUCKETS = 8
CLOSED_TOOLS = frozenset(("fetch_instructions",))
"""Tools whose arguments come from a short list that the prompt prints, so that different tasks share them."""


_MAX_MISSES = 2_000


class PoolExhausted(ValueError):
    """The pool has no further case of a tool."""


def core_suite() -> Suite:
    """Return `roo_xml/core` version 1."""
    return stored_suites(__package__, "roo_xml")[0]


def generate_core() -> Iterator[Case]:
    """Yield the cases that `roo_xml/core` version 1 was made of, always the same."""
    stock = load_stock("suite")
    for tool in DRILLED_TOOLS:
        plan = [(skill, turn) for skill, (count, _) in SKILLS[tool].items() for turn in range(count)]
        for number, (skill, turn) in enumerate(plan, start=1):
            case_id = f"core-{tool}-{number:02}"
            draw = Draw(stock, f"{CORE_SEED}/{case_id}")
            wordings = stock.wordings[tool][skill]
            yield _case(draw, tool, skill, wordings[turn % len(wordings)], case_id)


def generate_pool(
    seed: int, count: int, *, tools: Collection[str] | None = None, split: Split = "train"
) -> Iterator[Case]:
    """Yield `count` pool cases of one split, the tools in turn.

    The split of a case follows from its call, so no call is in two splits, whatever the seed.

    Raises:
        ValueError: none of `tools` is a tool of the pool.
        PoolExhausted: a tool has no further case that differs from those before.
    """
    chosen = [tool for tool in DRILLED_TOOLS if tools is None or tool in tools]
    if not chosen:
        raise ValueError(f"none of {sorted(tools or ())} is a tool of the pool")
    sources = {tool: _endless(seed, tool, split) for tool in chosen}
    for number in range(count):
        yield next(sources[chosen[number % len(chosen)]])


def _endless(seed: int, tool: str, split: Split) -> Iterator[Case]:
    stock, seen, index, misses = load_stock("pool"), set[str](), 0, 0
    while misses < _MAX_MISSES:
        case = _pool_case(stock, seed, tool, index)
        index, misses = index + 1, misses + 1
        if split_of(case) == split and case.task not in seen:
            seen.add(case.task)
            misses = 0
            yield case
    raise PoolExhausted(f"the pool has no further case of {tool}")


def _pool_case(stock: Stock, seed: int, tool: str, index: int) -> Case:
    case_id = f"pool-{seed}-{tool}-{index}"
    draw = Draw(stock, case_id)
    skill = draw.pick([name for name, (count, _) in SKILLS[tool].items() for _ in range(count)])
    return _case(draw, tool, skill, draw.pick(stock.wordings[tool][skill]), case_id)


def _case(draw: Draw, tool: str, skill: str, wording: str, case_id: str) -> Case:
    draft = SKILLS[tool][skill][1](draw)
    return case_of(draft, case_id=case_id, tool=tool, skill=skill, wording=wording)


def split_of(case: Case) -> Split:
    """Return the split that a pool case belongs to: one eighth probe, one eighth validation, the rest training."""
    call = case.task if case.tool in CLOSED_TOOLS else json.dumps(dict(case.expected.arguments), sort_keys=True)
    bucket = hashlib.sha256(f"{case.tool}\0{call}".encode()).digest()[0] % _NUM_BUCKETS
    return {0: "probe", 1: "validation"}.get(bucket, "train")  # type: ignore[return-value]
