"""What a suite is made of, in terms of the material that its profile can draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from services.protocols.cases import Case
from services.protocols.profile import Profile
from services.protocols.suites.balance import category_of

Composition = dict["Cell", float]
"""How many cases of a suite each cell stands for; a case of no kind that the profile can draw is spread over many."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Cases of one kind whose first call is of one tool.

    Attributes:
        category: One of the profile's categories; empty for single calls, which its pool draws by tool.
        tool: Empty where any tool will do.
    """

    category: str
    tool: str

    @property
    def kind(self) -> str:
        """What is drawn at once: the category, or the tool of a single call."""
        return self.category or self.tool


def has_pool(profile: Profile) -> bool:
    """Return whether the profile draws single calls by tool."""
    try:
        return bool(profile.tools) and next(iter(profile.generate_pool(0, 1)), None) is not None
    except ValueError:
        return False


def cell_of(profile: Profile, category: str, tool: str) -> Cell:
    """Return the cell of a case, by its category without the variety; kinds that the profile cannot draw have none."""
    return Cell(category if category in profile.categories else "", tool)


def composition(profile: Profile, cases: Iterable[Case]) -> Composition:
    """Return what `cases` are made of, in the order of the profile's tools and categories.

    Cases that the profile cannot draw the like of, such as those of a suite that was imported, count for all single
    calls alike; where there is no pool, for all categories.
    """
    pool = tuple(Cell("", tool) for tool in profile.tools) if has_pool(profile) else ()
    anything = pool or tuple(Cell(category, "") for category in profile.categories)
    counts = Counter(cell_of(profile, category_of(case), case.tool) for case in cases)
    drawn: Composition = {cell: float(count) for cell, count in counts.items() if cell.category or cell in pool}
    if strange := counts.total() - sum(drawn.values()):
        for cell in anything:
            drawn[cell] = drawn.get(cell, 0.0) + strange / len(anything)
    places = {name: place for place, name in enumerate((*profile.tools, *profile.categories))}
    return dict(sorted(drawn.items(), key=lambda item: (bool(item[0].category), places[item[0].kind])))
