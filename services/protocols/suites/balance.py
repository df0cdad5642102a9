"""Chooses cases for a suite so that no tool and no kind of task outweighs the others."""

from collections import Counter, deque
from collections.abc import Iterable

from services.protocols.cases import Case

MAX_SHARE = 0.1
"""Greatest share of a suite's cases that one tool may have."""


class TooFewCases(ValueError):
    """The cases at hand do not make a balanced suite of the wanted size."""


def category_of(case: Case) -> str:
    """Return the kind of task, without the variety behind the dot."""
    return case.category.partition(".")[0]


def choose_balanced(cases: Iterable[Case], count: int, *, max_share: float = MAX_SHARE) -> list[Case]:
    """Return `count` cases, none of whose tools has more than `max_share` of them.

    The rule: again and again, the category that has given the fewest cases (of equals, the one that came first) gives
    its next case. A case whose tool has its share already is passed over for good, a category that has no further case
    drops out. Cases keep the order of their categories, so equal cases give equal suites.

    Raises:
        TooFewCases: the cases end before there are `count`.
    """
    waiting: dict[str, deque[Case]] = {}
    for case in cases:
        waiting.setdefault(category_of(case), deque()).append(case)
    most = int(count * max_share)
    tools, given = Counter[str](), Counter[str]()
    chosen: list[Case] = []
    while len(chosen) < count and waiting:
        category = min(waiting, key=given.__getitem__)
        found = _next(waiting[category], tools, most)
        if found is None:
            del waiting[category]
            continue
        tools[found.tool] += 1
        given[category] += 1
        chosen.append(found)
    if len(chosen) < count:
        raise TooFewCases(f"only {len(chosen)} of {count} cases can be chosen with at most {most} of a tool")
    order = {category: place for place, category in enumerate(given)}
    return sorted(chosen, key=lambda case: order[category_of(case)])


def _next(cases: deque[Case], tools: Counter[str], most: int) -> Case | None:
    while cases:
        case = cases.popleft()
        if tools[case.tool] < most:
            return case
    return None
