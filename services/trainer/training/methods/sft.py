"""Supervised fine-tuning: the loss on reference answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from services.lm.training.step import ScoredSequences
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.training.encoding import encode
from services.trainer.training.methods import StepResult
from services.trainer.training.methods.context import Context


class SupervisedFineTuning:
    """Minimises the cross-entropy of the rows' answers: the mean over the trained tokens of a step.

    A token counts as much as the weight of its row, above and below the line.
    """

    def __init__(self, context: Context) -> None:
        """Encode the rows.

        Raises:
            BadExampleError: One cannot be trained on; it is named.
        """
        self._context = context
        loaded = context.loaded
        self._examples = encode(loaded.tokenizer, context.rows, eos_ids=loaded.eos_ids, max_tokens=context.max_tokens)
        self._computation = context.computation(max(example.num_tokens for example in self._examples))

    def num_steps(self) -> int:
        """Return as many as the passes over the rows take."""
        return self._context.num_steps()

    def prepare(self) -> None:
        """Do nothing: the rows are all it needs."""

    def step(self, step: int) -> StepResult:
        """Add the gradients of this worker's share of the loss."""
        batch = self._context.batch(step)
        denominator = sum(self._examples[place].row.weight * self._examples[place].num_trained for place in batch)
        own = [self._examples[place] for place in self._context.share(batch)]
        parts = [(sequence, example.row.weight) for example in own for sequence in example.sequences]

        def loss_of(scored: ScoredSequences) -> Tensor:
            pairs = zip(scored.places, scored.log_probs, strict=True)
            weights = torch.cat([torch.full_like(values, parts[place][1]) for place, values in pairs])
            return -(weights * torch.cat(scored.log_probs)).sum() / denominator

        work = self._computation.accumulate([sequence for sequence, _ in parts], loss_of)
        return StepResult(work.loss, work.num_computed_tokens)

    def state(self) -> Mapping[str, Tensor]:
        """Return nothing: order and rate follow from the step."""
        return {}

    def rows(self, step: int) -> Sequence[DatasetRow]:
        """Return the rows of a step."""
        return [self._examples[place].row for place in self._context.batch(step)]
