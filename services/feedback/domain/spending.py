"""What a loop costs: its time, tokens and money, as the services that did the work counted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What one run or training took."""

    seconds: float = 0.0
    num_generated_tokens: int = 0
    num_trained_tokens: int = 0


@dataclass(frozen=True)
class Spent:
    """What a loop has cost; `seconds` are those of its own work, `machine_seconds` those of its runs and trainings."""

    seconds: float
    num_rounds: int
    num_generated_tokens: int
    num_trained_tokens: int
    machine_seconds: float
    cost: float

    @property
    def num_tokens(self) -> int:
        """All tokens that a budget counts."""
        return self.num_generated_tokens + self.num_trained_tokens

    @property
    def sentence(self) -> str:
        """What it came to, without a stop at the end."""
        money = f", at a cost of {self.cost:.2f}," if self.cost else ""
        rounds = f"{self.num_rounds} round{'s' * (self.num_rounds != 1)} of training"
        return f"{rounds}, {self.seconds / 60:.1f} minutes, {self.num_tokens:,} tokens{money} so far"


def spent_on(costs: Sequence[Mapping[str, Cost]], num_rounds: int, seconds: float, price_per_hour: float) -> Spent:
    """Return the sum over the costs of all rounds.

    Args:
        costs: Of each round, by the name under which its work was asked for.
        num_rounds: Rounds of training that were begun.
        seconds: Of the loop's own work.
        price_per_hour: Of a run or a training.
    """
    items = [cost for round_costs in costs for cost in round_costs.values()]
    machine_seconds = sum(cost.seconds for cost in items)
    return Spent(
        seconds=seconds,
        num_rounds=num_rounds,
        num_generated_tokens=sum(cost.num_generated_tokens for cost in items),
        num_trained_tokens=sum(cost.num_trained_tokens for cost in items),
        machine_seconds=machine_seconds,
        cost=machine_seconds / 3600 * price_per_hour,
    )
