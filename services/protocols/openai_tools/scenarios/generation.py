"""Cases by kind of task, for suites and for training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from services.protocols.cases import Case
from services.protocols.openai_tools.authoring.draw import SLOT, Draw, Stock
from services.protocols.openai_tools.cases import PoolExhausted, split_of
from services.protocols.openai_tools.scenarios.case_of_draft import case_of_draft
from services.protocols.openai_tools.scenarios.edits import EDIT_BY_DIFF, WHOLE_FILE
from services.protocols.openai_tools.scenarios.limits import LIMITS
from services.protocols.openai_tools.scenarios.long_context import LONG_CONTEXT
from services.protocols.openai_tools.scenarios.nouns import Kind
from services.protocols.openai_tools.scenarios.odd_text import ODD_TEXT
from services.protocols.openai_tools.scenarios.recovery import RECOVERY
from services.protocols.openai_tools.scenarios.stocks import load_stock
from services.protocols.openai_tools.scenarios.talk import ASK_WHEN_UNCLEAR, COMPLETION, NO_CALL_DUE
from services.protocols.openai_tools.scenarios.tasks import EXACT_ARGUMENTS, SEVERAL_CALLS, TOOL_CHOICE
from services.protocols.openai_tools.scenarios.turns import SEARCH_READ_EDIT, TODO_TURNS
from services.protocols.profile import Split, StockName

CATEGORIES: Mapping[str, Mapping[str, Kind]] = MappingProxyType(
    {
        "tool_choice": TOOL_CHOICE,
        "exact_arguments": EXACT_ARGUMENTS,
        "several_calls": SEVERAL_CALLS,
        "edit_by_diff": EDIT_BY_DIFF,
        "whole_file": WHOLE_FILE,
        "search_read_edit": SEARCH_READ_EDIT,
        "limits": LIMITS,
        "ask_when_unclear": ASK_WHEN_UNCLEAR,
        "completion": COMPLETION,
        "recovery": RECOVERY,
        "no_call_due": NO_CALL_DUE,
        "long_context": LONG_CONTEXT,
        "odd_text": ODD_TEXT,
        "todo_turns": TODO_TURNS,
    }
)

_MAX_MISSES = 5_000


class UnknownCategory(ValueError):
    """There is no category of this name."""


def generate_cases(
    seed: int, count: int, *, categories: Collection[str] | None, stock: StockName, split: Split
) -> Iterator[Case]:
    """Yield `count` cases, the categories in turn and in each its kinds; `split` matters for the stock `pool` only.

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
    kinds = list(CATEGORIES[category].items())
    source, seen, index, turn, misses = load_stock(stock), set[str](), 0, 0, 0
    while misses < _MAX_MISSES:
        case = _case(source, f"{stock}-{seed}-{category}-{index}", category, *kinds[turn % len(kinds)])
        index, misses = index + 1, misses + 1
        if case.task in seen or (stock == "pool" and split_of(case) != split):
            continue
        seen.add(case.task)
        turn, misses = turn + 1, 0
        yield case
    raise PoolExhausted(f"the stock {stock} has no further case of {category}")


def _case(stock: Stock, case_id: str, category: str, name: str, kind: Kind) -> Case:
    draw = Draw(stock, f"{case_id}-{name}")
    group, key = kind.wordings
    wording = draw.pick(stock.wordings[group][key])
    draft = kind.build(draw)
    task = SLOT.sub(lambda found: str(draft.slots[found[1]]), wording)
    return case_of_draft(draw, draft, case_id=case_id, category=f"{category}.{name}", template=wording, task=task)
