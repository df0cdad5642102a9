"""What an answer is worth: its rewards, kept apart, and their weighted sum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.protocols.cases import Case
from services.protocols.judging.rewards import default_weights
from services.trainer.domain.spec import reward_weights_of
from services.trainer.training.examples import BadExampleError


class RewardWeights:
    """How much each reward counts.

    Attributes:
        names: Of all rewards that the cases of the job can give, in alphabetical order.
    """

    def __init__(self, entries: Sequence[str], cases: Iterable[Case]) -> None:
        """`entries` are "component=weight" and stand for all weights; without any, each case has its protocol's own.

        Raises:
            BadExampleError: A component is none that the cases give; the message names those that exist.
        """
        self.names = tuple(sorted({name for case in cases for name in default_weights(case)}))
        self._chosen = reward_weights_of(entries)
        unknown = sorted(self._chosen.keys() - set(self.names))
        if unknown:
            raise BadExampleError(
                f"The dataset's cases give no reward {unknown[0]!r}; in reward_weights use {', '.join(self.names)}."
            )

    def total(self, case: Case, rewards: Mapping[str, float]) -> float:
        """Return the weighted sum; a reward that the answer did not come to counts 0."""
        weights = self._chosen or default_weights(case)
        return sum(weight * rewards.get(name, 0.0) for name, weight in weights.items())
