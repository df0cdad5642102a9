"""What a suite is made of, in terms of the material that its profile can draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from services.protocols.cases import Case
from services.protocols.material.catalogue import SINGLE_CALL
from services.protocols.profile import Profile
from services.protocols.suites.balance import category_of

CellWeights = dict["Cell", float]
"""How many cases of a suite each cell stands for; a case of no kind that the profile can draw is spread over many."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Cases of one kind whose first call is of one tool.

    Attributes:
        category: One of the profile's categories.
        tool: Empty where any tool will do.
    """

    category: str
    tool: str

    @property
    def kind(self) -> str:
        """What is drawn at once: the category, or the tool of single calls, each of which has kinds of its own."""
        return self.tool if self.category == SINGLE_CALL else self.category


def cell_of(profile: Profile, category: str, tool: str) -> Cell:
    """Return the cell of a case by its category without the variety; one that the profile has not is a single call."""
    return Cell(category if category in profile.categories else SINGLE_CALL, tool)


def cell_weights(profile: Profile, cases: Iterable[Case]) -> CellWeights:
    """Return what `cases` are made of, in the order of the profile's tools and categories.

    Cases that the profile cannot draw the like of, such as those of a suite that was imported, count for all single
    calls alike; where there are none, for all categories.
    """
    pool = tuple(Cell(SINGLE_CALL, tool) for tool in profile.tools) if SINGLE_CALL in profile.categories else ()
    anything = pool or tuple(Cell(category, "") for category in profile.categories)
    counts = Counter(cell_of(profile, category_of(case), case.tool) for case in cases)
    drawn: CellWeights = {
        cell: float(count) for cell, count in counts.items() if cell.category != SINGLE_CALL or cell in pool
    }
    if strange := counts.total() - sum(drawn.values()):
        for cell in anything:
            drawn[cell] = drawn.get(cell, 0.0) + strange / len(anything)
    places = {name: place for place, name in enumerate((*profile.tools, *profile.categories))}
    return dict(sorted(drawn.items(), key=lambda item: places[item[0].kind]))
