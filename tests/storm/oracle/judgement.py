"""What the oracle found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Judgement:
    """Sentences by what they say, and how much was looked at.

    Attributes:
        lost: Acknowledged work that is gone, has not ended, or failed.
        doubled: Work that was done or registered twice.
        wrong: What breaks another promise: an illegal move, a gap, a changed byte, an answer that is none.
        left: What lies or runs where nothing should.
        looked_at: Number of things that were checked, by kind.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    looked_at: Counter[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        """Whether no promise was broken."""
        return not (self.lost or self.doubled or self.wrong or self.left)
