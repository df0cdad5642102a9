"""How far two judges agree beyond chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z = 1.959963984540054


@dataclass(frozen=True)
class Agreement:
    """How often people and the judge say the same of an answer."""

    num_both_good: int = 0
    num_both_bad: int = 0
    num_only_person_good: int = 0
    num_only_judge_good: int = 0

    @property
    def num_pairs(self) -> int:
        """Answers that both have judged."""
        return self.num_both_good + self.num_both_bad + self.num_only_person_good + self.num_only_judge_good

    @property
    def observed_rate(self) -> float:
        """Share on which both say the same; 0 where nothing is known."""
        return (self.num_both_good + self.num_both_bad) / self.num_pairs if self.num_pairs else 0.0

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; None where one of the two always says the same, since then chance explains everything."""
        chance = self._chance
        return None if chance is None or chance == 1 else (self.observed_rate - chance) / (1 - chance)

    @property
    def kappa_interval(self) -> tuple[float, float]:
        """The 95 % interval by the large-sample variance of Fleiss, Cohen and Everitt (1969), within -1 to 1."""
        kappa, chance = self.kappa, self._chance
        if kappa is None or chance is None:
            return 0.0, 0.0
        total, person, judge = self.num_pairs, *self._shares_good
        agreeing = (
            (self.num_both_good / total, person + judge),
            (self.num_both_bad / total, 2 - person - judge),
        )
        differing = (
            # Each weighs by the share of the judge's word for the person's, and the other way round.
            (self.num_only_person_good / total, judge + (1 - person)),
            (self.num_only_judge_good / total, (1 - judge) + person),
        )
        spread = sum(share * (1 - both * (1 - kappa)) ** 2 for share, both in agreeing)
        spread += (1 - kappa) ** 2 * sum(share * both**2 for share, both in differing)
        spread -= (kappa - chance * (1 - kappa)) ** 2
        half = _Z * math.sqrt(max(spread, 0.0) / total) / (1 - chance)
        return max(-1.0, kappa - half), min(1.0, kappa + half)

    @property
    def sentence(self) -> str:
        """One sentence for a person."""
        if not self.num_pairs:
            return "Nothing is known yet: rate answers that have a verdict, or correct them."
        num_different = self.num_only_person_good + self.num_only_judge_good
        counts = f"People and the judge differ on {num_different} of {self.num_pairs} answers"
        if self.kappa is None:
            return f"{counts}; one of the two always says the same, so their agreement cannot be told from chance."
        low, high = self.kappa_interval
        return f"{counts}; kappa is {self.kappa:.2f} (95 %: {low:.2f} to {high:.2f})."

    @property
    def _shares_good(self) -> tuple[float, float]:
        person = (self.num_both_good + self.num_only_person_good) / self.num_pairs
        return person, (self.num_both_good + self.num_only_judge_good) / self.num_pairs

    @property
    def _chance(self) -> float | None:
        if not self.num_pairs:
            return None
        person, judge = self._shares_good
        if person in (0, 1) or judge in (0, 1):
            return 1.0
        return person * judge + (1 - person) * (1 - judge)
