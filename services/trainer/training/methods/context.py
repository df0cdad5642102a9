"""What a method works with: the rows, the model that is trained, and the job's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.lm.decoder.whole import why_whole
from services.lm.loading import LoadedModel
from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import LossOf, StepWork, accumulate, log_probs
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.training.examples import batch_of, num_steps, share_of
from services.trainer.training.reporter import Reporter, Silence
from services.trainer.training.workers import Workers


@dataclass(frozen=True)
class Context:
    """One worker's view of a job.

    Attributes:
        rows: The train split.
        loaded: Tokenizer and limits of the model; its `model` is the one that is trained.
        dtype: What the model is computed in, "float32" or "bfloat16".
        start_step: Steps that were done before this attempt.
        state: The method's own, from the checkpoint that the attempt goes on from; empty at step 0.
    """

    spec: TrainingJobSpec
    rows: tuple[DatasetRow, ...]
    loaded: LoadedModel
    dtype: str
    workers: Workers
    reporter: Reporter | Silence
    start_step: int
    state: Mapping[str, Tensor]

    @property
    def max_tokens(self) -> int:
        """The longest sequence that can be trained."""
        return min(self.spec.max_tokens_per_pack, self.loaded.max_positions)

    def num_steps(self) -> int:
        """Return the steps in which `num_epochs` passes over the rows are done, or as many as the spec names."""
        spec = self.spec
        return spec.max_steps or num_steps(len(self.rows), batch_size=spec.batch_size, num_epochs=spec.num_epochs)

    def batch(self, step: int) -> list[int]:
        """Return the places of the rows of a step, over all workers, in an order that the seed decides."""
        spec = self.spec
        return batch_of(step, num_examples=len(self.rows), batch_size=spec.batch_size, seed=spec.seed)

    def share(self, places: Sequence[int]) -> list[int]:
        """Return this worker's part of `places`."""
        return share_of(places, rank=self.workers.rank, num_workers=self.workers.num_workers)

    def computation(self, longest: int) -> Computation:
        """Return the computation of sequences of up to `longest` tokens; a person is told when none share a prefix."""
        reason = why_whole(self.loaded.model, longest)
        if reason:
            self.reporter.notice(f"Each example is trained by itself, not behind the prefix that they share: {reason}.")
        return Computation(self.loaded.model, self.dtype, self.spec.max_tokens_per_pack, shares=not reason)


@dataclass(frozen=True)
class Computation:
    """Log-probabilities of the model in training, and gradients of losses that are functions of them."""

    model: Any
    dtype: str
    max_tokens: int
    shares: bool

    def accumulate(
        self,
        sequences: Sequence[TrainedSequence],
        loss_of: LossOf,
        *,
        units: Sequence[Sequence[int]] = (),
        entropies: bool = False,
    ) -> StepWork:
        """Do as `services.lm.training.step.accumulate` does, by the job's settings."""
        with self._precision():
            return accumulate(
                self.model,
                sequences,
                loss_of,
                max_tokens=self.max_tokens,
                units=units,
                shares=self.shares,
                entropies=entropies,
            )

    def log_probs(self, sequences: Sequence[TrainedSequence]) -> list[Tensor]:
        """Return those of each sequence's trained tokens, in float32, without a derivative and without dropout."""
        self.model.eval()
        with self._precision():
            return log_probs(self.model, sequences, max_tokens=self.max_tokens, shares=self.shares)

    def _precision(self) -> AbstractContextManager[Any]:
        """Trained weights are kept in float32, and computed in the job's type."""
        is_whole = next(self.model.parameters()).dtype == torch.float32
        return torch.autocast(
            self.model.device.type, torch.bfloat16, enabled=is_whole and self.dtype == "bfloat16", cache_enabled=False
        )
