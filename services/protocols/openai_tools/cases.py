"""The built-in suite, and the training pool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator

from services.protocols.cases import Case, Expected
from services.protocols.openai_tools.authoring.draw import Draw, load_stock
from services.protocols.openai_tools.authoring.skills import SKILLS, Draft
from services.protocols.openai_tools.parse import written_call
from services.protocols.openai_tools.tools import DRILLED_TOOLS, NO_CALL, TOOLS
from services.protocols.profile import Split

SMOKE_SEED = "openai_tools/smoke/1"

_NUM_OFFERED = 5
_NUM_BUCKETS = 8
_MAX_MISSES = 5_000


class PoolExhausted(ValueError):
    """The pool has no further case of a tool."""


def generate_smoke() -> Iterator[Case]:
    """Yield the cases that `openai_tools/smoke` version 1 was made of, always the same: one per wording."""
    stock = load_stock("suite")
    for tool in DRILLED_TOOLS:
        plan = [(skill, wording) for skill in SKILLS[tool] for wording in stock.wordings[tool][skill]]
        for number, (skill, wording) in enumerate(plan, start=1):
            case_id = f"smoke-{tool}-{number:02}"
            yield case_of(Draw(stock, f"{SMOKE_SEED}/{case_id}"), tool, skill, wording, case_id)


def generate_pool(
    seed: int, count: int, *, tools: Collection[str] | None = None, split: Split = "train"
) -> Iterator[Case]:
    """Yield `count` pool cases of one split, the tools in turn.

    The split of a case follows from its calls, so no call is in two splits, whatever the seed.

    Raises:
        PoolExhausted: a tool has no further case that differs from those before.
    """
    chosen = [tool for tool in DRILLED_TOOLS if tools is None or tool in tools]
    if not chosen:
        raise ValueError(f"none of {sorted(tools or ())} is a tool of the pool")
    sources = {tool: _endless(seed, tool, split) for tool in chosen}
    for number in range(count):
        yield next(sources[chosen[number % len(chosen)]])


def split_of(case: Case) -> Split:
    """Return the split that a pool case belongs to: one eighth probe, one eighth validation, the rest training."""
    calls = json.dumps([[due.tool, due.arguments] for due in case.expected.due], sort_keys=True)
    is_free = case.expected.no_call or any(due.free_text for due in case.expected.due)
    key = case.task if is_free else calls
    bucket = hashlib.sha256(key.encode()).digest()[0] % _NUM_BUCKETS
    return {0: "probe", 1: "validation"}.get(bucket, "train")  # type: ignore[return-value]


def _endless(seed: int, tool: str, split: Split) -> Iterator[Case]:
    stock, seen, index, misses = load_stock("pool"), set[str](), 0, 0
    while misses < _MAX_MISSES:
        case_id = f"pool-{seed}-{tool}-{index}"
        draw = Draw(stock, case_id)
        skill = draw.pick(list(SKILLS[tool]))
        case = case_of(draw, tool, skill, draw.pick(stock.wordings[tool][skill]), case_id)
        index, misses = index + 1, misses + 1
        if split_of(case) == split and case.task not in seen:
            seen.add(case.task)
            misses = 0
            yield case
    raise PoolExhausted(f"the pool has no further case of {tool}")


def case_of(draw: Draw, tool: str, skill: str, wording: str, case_id: str) -> Case:
    """Return the case that asks for what the skill draws, in the words of `wording`."""
    draft = SKILLS[tool][skill](draw)
    task = wording.format(**_shown(draft))
    return Case(
        case_id=case_id,
        category=f"{tool}.{skill}",
        tool=tool,
        mode="",
        task=task,
        expected=_expected(draft),
        template=wording,
        reference=_reference(draw, draft),
        tools=tuple(TOOLS[name] for name in _offered(draw, draft)),
    )


def _shown(draft: Draft) -> dict[str, object]:
    values: dict[str, object] = dict(draft.shown)
    for _, arguments in draft.calls[:1]:
        values.update(arguments)
    return {name: " and ".join(value) if isinstance(value, list) else value for name, value in values.items()}


def _expected(draft: Draft) -> Expected:
    if not draft.calls:
        return Expected(NO_CALL, no_call=True)
    first, *further = (Expected(tool, arguments) for tool, arguments in draft.calls)
    return Expected(first.tool, first.arguments, further=tuple(further))


def _reference(draw: Draw, draft: Draft) -> str:
    if draft.calls:
        return "\n".join(written_call(tool, arguments) for tool, arguments in draft.calls)
    return draw.word("question" if draft.offers[0] else "reply")


def _offered(draw: Draw, draft: Draft) -> list[str]:
    needed = dict.fromkeys(name for name in (*(tool for tool, _ in draft.calls), *draft.offers) if name)
    others = [name for name in TOOLS if name not in needed]
    offered = [*needed, *draw.random.sample(others, _NUM_OFFERED - len(needed))]
    draw.random.shuffle(offered)
    return offered
