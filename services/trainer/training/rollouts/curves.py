"""What a step of reinforcement measures: sums and counts, which workers add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from services.trainer.training.rollouts.rollout import Rollout

_OF_UPDATES: Final = ("entropy", "kl", "engine_drift", "clipped_tokens")
_OF_ROLLOUTS: Final = (
    *("reward", "mixed_groups", "truncated_answers", "ended_answers"),
    *("answer_tokens", "protocol_violations"),
)


class Curves:
    """The means of one step; a metric that nothing was measured of has a count of 0."""

    def __init__(self, rewards: Sequence[str]) -> None:
        """`rewards` are the names of all rewards that the job's cases can give."""
        names = (*_OF_UPDATES, *_OF_ROLLOUTS, *(f"reward/{name}" for name in rewards))
        self._sums = dict.fromkeys(names, (0.0, 0.0))

    def add(self, name: str, total: float, count: float = 1) -> None:
        """Add to the sum and the count of a metric."""
        before, number = self._sums[name]
        self._sums[name] = before + total, number + count

    def add_groups(self, groups: Iterable[Sequence[Rollout]], num_mixed: int) -> None:
        """Add what was drawn; the rewards of `num_mixed` of the groups differ."""
        for group in groups:
            self.add("mixed_groups", 0)
            for rollout in group:
                self._add_rollout(rollout)
        self.add("mixed_groups", num_mixed, 0)

    def _add_rollout(self, rollout: Rollout) -> None:
        self.add("reward", rollout.reward)
        for name, value in rollout.rewards.items():
            self.add(f"reward/{name}", value)
        for turn in rollout.turns:
            self.add("truncated_answers", turn.is_truncated)
            self.add("ended_answers", not turn.is_truncated)
            self.add("answer_tokens", len(turn.answer_ids))
            self.add("protocol_violations", turn.breaks_protocol)

    def means(self) -> dict[str, tuple[float, float]]:
        """Return (sum, count) by metric."""
        return dict(self._sums)
