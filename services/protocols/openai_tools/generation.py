"""Cases by kind of task, for suites and for training."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from services.protocols.cases import Case
from services.protocols.openai_tools.authoring.draw import Draw, load_stock
from services.protocols.openai_tools.authoring.skills import SKILLS
from services.protocols.openai_tools.cases import PoolExhausted, case_of, split_of
from services.protocols.openai_tools.tools import NO_CALL
from services.protocols.profile import Split, StockName
from services.protocols.turn import Answer, ToolCall

_PLAIN = ("plain", "day", "one")
_SEVERAL = (("get_forecast", "two"), ("place_order", "two"), ("create_event", "and_mail"))
_MAX_MISSES = 5_000

_KINDS: Mapping[str, Callable[[str, str], bool]] = MappingProxyType(
    {
        "tool_choice": lambda tool, skill: tool != NO_CALL and skill in _PLAIN,
        "exact_arguments": lambda tool, skill: (
            tool != NO_CALL and skill not in _PLAIN and (tool, skill) not in _SEVERAL
        ),
        "several_calls": lambda tool, skill: (tool, skill) in _SEVERAL,
        "no_call_due": lambda tool, skill: tool == NO_CALL,
        "recovery": lambda tool, skill: tool != NO_CALL and skill in _PLAIN,
    }
)
"""Which skills of which tools a category draws from."""

CATEGORIES = tuple(_KINDS)


class UnknownCategory(ValueError):
    """There is no category of this name."""


def generate_cases(
    seed: int, count: int, *, categories: Collection[str] | None, stock: StockName, split: Split
) -> Iterator[Case]:
    """Yield `count` cases, the categories in turn; `split` matters for the stock `pool` only.

    Raises:
        UnknownCategory: a name in `categories` is none of `CATEGORIES`.
        PoolExhausted: a category has no further case that differs from those before.
    """
    if unknown := sorted(set(categories or ()) - set(CATEGORIES)):
        raise UnknownCategory(f"there is no category {unknown[0]!r}; known ones are: {', '.join(CATEGORIES)}")
    chosen = [name for name in CATEGORIES if categories is None or name in categories]
    sources = {name: _endless(seed, name, stock, split) for name in chosen}
    for number in range(count if chosen else 0):
        yield next(sources[chosen[number % len(chosen)]])


def _endless(seed: int, category: str, stock: StockName, split: Split) -> Iterator[Case]:
    kinds = [(tool, skill) for tool, skills in SKILLS.items() for skill in skills if _KINDS[category](tool, skill)]
    source, seen, index, misses = load_stock(stock), set[str](), 0, 0
    while misses < _MAX_MISSES:
        tool, skill = kinds[index % len(kinds)]
        case_id = f"{stock}-{seed}-{category}-{index}"
        draw = Draw(source, case_id)
        case = case_of(draw, tool, skill, draw.pick(source.wordings[tool][skill]), case_id)
        index, misses = index + 1, misses + 1
        if case.task in seen or (stock == "pool" and split_of(case) != split):
            continue
        seen.add(case.task)
        misses = 0
        case = replace(case, category=f"{category}.{skill}")
        yield _after_a_slip(draw, case) if category == "recovery" else case
    raise PoolExhausted(f"the stock {stock} has no further case of {category}")


def _after_a_slip(draw: Draw, case: Case) -> Case:
    """Return the case with a call in its history that the client refuses."""
    tool, arguments = case.expected.tool, dict(case.expected.arguments)
    right = json.dumps(arguments, ensure_ascii=False)
    lacking = json.dumps(dict(list(arguments.items())[1:]), ensure_ascii=False)
    slips = {
        "cut_json": ToolCall(tool, right[:-1]),
        "missing_argument": ToolCall(tool, lacking),
        "unknown_function": ToolCall(f"{tool}_now", right),
    }
    name = draw.pick(list(slips))
    return replace(case, category=f"recovery.{name}", history=(Answer(calls=(slips[name],)),))
