"""The arithmetic of group-relative policy optimisation, as functions of numbers alone.

The clipped objective is that of PPO (arXiv 1707.06347), its bounds apart as in DAPO (arXiv 2503.14476); the baseline
leaves the rollout itself out (arXiv 2402.14740); advantages are not divided by the group's spread unless asked for,
and the loss is a sum over tokens (arXiv 2503.20783), which the caller divides by the tokens of the whole step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from services.trainer.domain.spec import GrpoConfig
from services.trainer.training.rollouts.drawing import KnownScores
from services.trainer.training.rollouts.rollout import Rollout

# Rewards that lie nearer to each other are equal: sums of weights round.
_EQUAL: Final = 1e-9
_LEAST_SPREAD: Final = 1e-4


@dataclass(frozen=True)
class PolicyLoss:
    """A sequence's sums over its trained tokens.

    Attributes:
        loss: Scalar, differentiable.
        divergence: From the reference, in nats.
        num_clipped: Tokens whose gradient the clipping took away.
    """

    loss: Tensor
    divergence: float
    num_clipped: int


def is_mixed(rewards: Sequence[float]) -> bool:
    """Whether the rewards of a group differ; where they do not, there is nothing to learn from it."""
    return max(rewards) - min(rewards) > _EQUAL


def advantages_of(rewards: Sequence[float], *, scales: bool) -> list[float]:
    """Return each rollout's reward less the mean of the group's others, divided by the spread where it `scales`."""
    total, others = sum(rewards), len(rewards) - 1
    advantages = [reward - (total - reward) / others for reward in rewards]
    if not scales:
        return advantages
    spread = float(torch.tensor(rewards, dtype=torch.float64).std())
    return [advantage / (spread + _LEAST_SPREAD) for advantage in advantages]


def turn_advantages(rollout: Rollout, advantage: float, *, blames: bool) -> list[float]:
    """Return the advantage of each turn: the rollout's, or where it `blames`, a negative one for violations alone."""
    faulty = [turn.breaks_protocol for turn in rollout.turns]
    if not blames or advantage >= 0 or not any(faulty):
        return [advantage] * len(faulty)
    return [advantage if fault else 0.0 for fault in faulty]


def policy_loss(new: Tensor, known: KnownScores, config: GrpoConfig) -> PolicyLoss:
    """Return the loss of one sequence, given the log-probabilities `new` of its trained tokens."""
    ratio = torch.exp(new - known.old)
    gains = ratio * known.advantages
    bounded_gains = ratio.clamp(1 - config.epsilon, 1 + config.epsilon_high) * known.advantages
    # Engine and trainer round in their own ways, which adds up over an answer.
    weight = torch.exp((known.old - known.drawn).sum()).clamp(max=config.max_importance_ratio)
    loss = -weight * torch.minimum(gains, bounded_gains).sum()
    num_clipped = int((bounded_gains < gains).sum())
    if known.reference is None:
        return PolicyLoss(loss, 0.0, num_clipped)
    distance = known.reference - new
    divergence = (torch.exp(distance) - distance - 1).sum()
    return PolicyLoss(loss + config.beta * divergence, float(divergence.detach()), num_clipped)
