"""Draws cases from a profile's material: as many of each cell as are wanted, none of them near to the suite."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from services.chassis.errors import FailedPrecondition
from services.feedback.datasets.cells import Cell
from services.protocols.cases import Case
from services.protocols.material.catalogue import SINGLE_CALL
from services.protocols.material.draw import Split
from services.protocols.profile import Profile
from services.protocols.suites.overlap import Contents

# A kind's varieties come in turn; begun somewhere among so many cases, a few draws meet others for another seed.
_MAX_SKIPPED = 24
_MAX_LOOKS = 60


@dataclass(frozen=True)
class DrawRequest:
    """What is drawn from.

    Attributes:
        suite: What no case may be near to.
        seed: Chooses the cases.
        split: Part of the material; splits share no case.
        fits: Whether a case may be taken.
        max_characters: Longer cases are taken only where a kind has no shorter ones; 0 for no such preference.
    """

    profile: Profile
    suite: Contents
    seed: int
    split: Split
    fits: Callable[[Case], bool] = lambda _: True
    max_characters: int = 0

    def stream(self, kind: Cell, count: int) -> Iterator[Case]:
        """Yield `count` cases of the kind of a cell, fewer where the stock ends."""
        skipped = random.Random(f"{self.seed}/{self.split}/{kind.kind}").randrange(_MAX_SKIPPED)
        tools = (kind.tool,) if kind.category == SINGLE_CALL else None
        cases = self.profile.draw(
            self.seed, skipped + count, tools=tools, categories=(kind.category,), split=self.split
        )
        return islice(cases, skipped, None)


@dataclass(frozen=True)
class Drawn:
    """Cases by cell in the order of drawing, and how many were left out because they were too near to the suite."""

    cases: dict[Cell, list[Case]]
    num_replaced: int


def draw(request: DrawRequest, wanted: Mapping[Cell, int]) -> Drawn:
    """Return as many cases as are wanted of each cell; where a kind has too few that fit, others fill the place.

    Raises:
        FailedPrecondition: The material ends before enough cases are drawn that are not near to the suite.
    """
    kinds: dict[str, dict[Cell, int]] = {}
    for cell, count in wanted.items():
        if count:
            kinds.setdefault(cell.kind, {})[cell] = count
    total = sum(wanted.values())
    sources = sorted((_Source(request, cells, total) for cells in kinds.values()), key=lambda source: -source.left)
    for source in sources:
        source.fill()
    left = _fill_up(sources, sum(source.left for source in sources))
    if left and (ended := sorted(source.name for source in sources if source.has_ended)):
        raise FailedPrecondition(
            f"The training pool has too few cases of {', '.join(ended)} that are not near to the suite.",
            "Ask for fewer examples.",
        )
    cases: dict[Cell, list[Case]] = {cell: [] for cell in wanted}
    for source in sources:
        for case in source.taken:
            cases.setdefault(Cell(source.category, case.tool), []).append(case)
    return Drawn({cell: drawn for cell, drawn in cases.items() if drawn}, sum(source.num_near for source in sources))


def _fill_up(sources: list[_Source], left: int) -> int:
    """Take further cases, the kinds that have none yet first, until nothing is left or fits; return what is left."""
    before = -1
    while left and left != before:
        before = left
        for source in sorted(sources, key=lambda source: bool(source.taken)):
            left -= bool(left and source.take_one())
    return left


class _Source:
    """The cases of one kind, each looked at once."""

    def __init__(self, request: DrawRequest, wanted: Mapping[Cell, int], total: int) -> None:
        first = next(iter(wanted))
        self.name, self.category = first.kind, first.category
        self.left = sum(wanted.values())
        self.taken: list[Case] = []
        self.num_near = 0
        self.has_ended = False
        self._request = request
        self._quotas = Counter({cell.tool: count for cell, count in wanted.items()})
        self._num_looks = 4 * self.left + _MAX_LOOKS
        self._cases = self._far_cases(first, self._num_looks + total + _MAX_LOOKS)
        self._spare: list[Case] = []

    def fill(self) -> None:
        """Take what is wanted of each tool; where that does not come, cases of other tools or longer ones."""
        for case in islice(self._cases, self._num_looks):
            if self._quotas[self._quota_of(case)] > 0 and not self._is_long(case):
                self._take(case)
            elif len(self._spare) < self._num_looks // 2:
                self._spare.append(case)
            if not self.left:
                break
        self._spare.sort(key=lambda case: (self._is_long(case), _length(case) if self._is_long(case) else 0))
        while self.left and self.take_one():
            pass

    def take_one(self) -> bool:
        """Take a further case; say whether there was one."""
        if self._spare:
            self._take(self._spare.pop(0))
            return True
        for case in islice(self._cases, _MAX_LOOKS):
            if not self._is_long(case):
                self._take(case)
                return True
        return False

    def _take(self, case: Case) -> None:
        self._quotas[self._quota_of(case)] -= 1
        self.left -= 1
        self.taken.append(case)

    def _quota_of(self, case: Case) -> str:
        """Return the tool whose quota a case counts for; the empty one stands for any other."""
        return case.tool if case.tool in self._quotas else ""

    def _is_long(self, case: Case) -> bool:
        return 0 < self._request.max_characters < _length(case)

    def _far_cases(self, kind: Cell, count: int) -> Iterator[Case]:
        num_far = 0
        try:
            for case in self._request.stream(kind, count):
                if self._request.suite.overlaps(case):
                    self.num_near += 1
                else:
                    num_far += 1
                    if self._request.fits(case):
                        yield case
            self.has_ended = not num_far
        except ValueError:
            # The stock holds no further case; what it has given counts.
            self.has_ended = True


def _length(case: Case) -> int:
    """Return the characters that a conversation about the case is about, besides the prompt that all share."""
    said = (text for answer in case.history for text in (answer.text, *(call.arguments for call in answer.calls)))
    return sum(map(len, (case.task, *case.files.values(), *case.results.values(), *said)))
