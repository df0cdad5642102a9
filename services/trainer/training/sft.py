"""Supervised fine-tuning: the loss on reference answers, computed behind the prefixes that the sequences share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import ScoredSequences, StepWork, accumulate


def num_trained_tokens(sequences: Sequence[TrainedSequence]) -> int:
    """Return how many tokens the loss of these sequences is a mean over."""
    return sum(sequence.num_trained for sequence in sequences)


def backward(
    model: Any, sequences: Sequence[TrainedSequence], *, num_trained_tokens: int, max_tokens: int, shares: bool = True
) -> StepWork:
    """Add the gradients of the sequences' share of the loss, the mean over `num_trained_tokens`, to the model's.

    Args:
        model: A model with trainable parameters.
        sequences: This worker's part of the batch; may be empty.
        num_trained_tokens: Of the whole batch, over all workers.
        max_tokens: Tokens held in memory at once.
        shares: Whether sequences are computed behind the prefixes that they share, or each by itself.
    """

    def loss_of(scored: ScoredSequences) -> Tensor:
        return -torch.cat(scored.log_probs).sum() / num_trained_tokens

    return accumulate(model, sequences, loss_of, max_tokens=max_tokens, shares=shares)
