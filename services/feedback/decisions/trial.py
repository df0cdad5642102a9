"""Trials of a search for settings: short trainings, each judged by its answers to the validation split."""

from __future__ import annotations

from dataclasses import dataclass

from services.feedback.domain.goals import USUAL_CONFIDENCE, Reading, share_interval


@dataclass(frozen=True)
class Search:
    """What bounds a search, besides the loop's budget.

    Attributes:
        num_trials: Trials of the first rung; None in loops of a release that searched for nothing.
        trial_examples: Train rows of each of these.
        max_minutes: Of all trials together.
    """

    num_trials: int | None
    trial_examples: int
    max_minutes: float


NO_SEARCH = Search(None, 0, 0.0)


@dataclass(frozen=True)
class SearchTrial:
    """One short training, with what it asks for and what came of it.

    Attributes:
        number: Counts the trials of a round, from 1.
        rung: How often the field was halved before it, from 0.
        num_examples: Train rows.
        rank: Of the adapter; 0 where one of unknown rank is trained further, which keeps it.
        training_job_id: Empty until it has begun.
        value: Share of the validation answers that conform.
        problem: Why the training failed.
    """

    number: int
    rung: int
    num_examples: int
    learning_rate: float
    rank: int
    training_job_id: str = ""
    is_judged: bool = False
    value: float = 0.0
    num_cases: int = 0
    problem: str = ""

    @property
    def low(self) -> float:
        """Lower end of the interval of `value` at 95 %."""
        return self._interval[0]

    @property
    def high(self) -> float:
        """Upper end."""
        return self._interval[1]

    @property
    def settings(self) -> str:
        """What it tries, in words."""
        return f"learning rate {self.learning_rate:g}" + f", rank {self.rank}" * bool(self.rank)

    @property
    def sentence(self) -> str:
        """What it tries and what came of it, without a stop at the end."""
        words = f"{self.settings}, {self.num_examples} rows"
        if self.problem:
            return f"{words}: {self.problem}"
        if not self.is_judged:
            return words
        interval = f"{self.low:.1%} to {self.high:.1%}"
        return f"{words}: {self.value:.1%} of {self.num_cases} validation answers conform ({interval})"

    @property
    def _interval(self) -> tuple[float, float]:
        return share_interval(Reading(self.value, self.num_cases), USUAL_CONFIDENCE)
