"""Direct preference optimisation (arXiv 2305.18290): a row's answer against its rejected one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import ScoredSequences
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.domain.spec import DpoConfig, PreferenceLoss
from services.trainer.training.encoding import EncodedPair, encode_pairs
from services.trainer.training.examples import BadExampleError
from services.trainer.training.methods import StepResult
from services.trainer.training.methods.context import Context

_REFERENCE: Final = "reference"
_METRICS: Final = ("reward_margin", "reward_accuracy", "chosen_log_prob", "rejected_log_prob")


class DirectPreferenceOptimization:
    """Raises answers above rejected ones, both measured against the reference: the model as it was at step 0.

    The loss is the mean over the pairs of a step, each weighted as its row. The reference's log-probabilities are
    computed once, before step 0, and are part of every checkpoint.
    """

    def __init__(self, context: Context) -> None:
        """Encode the pairs.

        Raises:
            BadExampleError: A row has no rejected answer, or cannot be trained on; it is named.
        """
        self._context = context
        loaded = context.loaded
        self._pairs = encode_pairs(
            loaded.tokenizer, context.rows, eos_ids=loaded.eos_ids, max_tokens=context.max_tokens
        )
        self._computation = context.computation(max(pair.longest for pair in self._pairs))
        self._reference = torch.zeros(len(self._pairs), 2)

    def num_steps(self) -> int:
        """Return as many as the passes over the rows take."""
        return self._context.num_steps()

    def prepare(self) -> None:
        """Compute the reference, each worker its part, or take the checkpoint's.

        Raises:
            BadExampleError: The checkpoint has none for these pairs.
        """
        if self._context.start_step == 0:
            self._reference = self._computed_reference()
            return
        reference = self._context.state.get(_REFERENCE)
        if reference is None or reference.shape != self._reference.shape:
            raise BadExampleError(
                "The checkpoint lacks the reference's log-probabilities of these pairs (method.safetensors), which the "
                "model as it is now cannot give again: start a new job."
            )
        self._reference = reference

    def step(self, step: int) -> StepResult:
        """Add the gradients of this worker's share of the loss."""
        batch = self._context.batch(step)
        denominator = sum(self._pairs[place].row.weight for place in batch)
        own = self._context.share(batch)
        sums: Counter[str] = Counter()

        def loss_of(scored: ScoredSequences) -> Tensor:
            values = dict(zip(scored.places, scored.log_probs, strict=True))
            total = torch.zeros(())
            for unit in sorted({place // 2 for place in scored.places}):
                place = own[unit]
                chosen, rejected = values[2 * unit], values[2 * unit + 1]
                loss, measured = pair_loss(chosen, rejected, self._reference[place], self._context.spec.dpo)
                total = total + self._pairs[place].row.weight * loss.cpu()
                sums.update(dict(zip(_METRICS, measured, strict=True)))
            return total / denominator

        units = [(2 * unit, 2 * unit + 1) for unit in range(len(own))]
        work = self._computation.accumulate(_sequences([self._pairs[place] for place in own]), loss_of, units=units)
        means = {metric: (sums[metric], float(len(own))) for metric in _METRICS}
        return StepResult(work.loss, work.num_computed_tokens, means)

    def state(self) -> Mapping[str, Tensor]:
        """Return the reference: the sums over each pair's answers, shape (pairs, 2)."""
        return {_REFERENCE: self._reference}

    def rows(self, step: int) -> Sequence[DatasetRow]:
        """Return the rows of a step."""
        return [self._pairs[place].row for place in self._context.batch(step)]

    def _computed_reference(self) -> Tensor:
        places = range(len(self._pairs))
        own = self._context.share(places)
        values = self._computation.log_probs(_sequences([self._pairs[place] for place in own]))
        part = torch.zeros(len(places), 2, dtype=torch.float64)
        for unit, place in enumerate(own):
            part[place] = torch.stack([values[2 * unit].sum(), values[2 * unit + 1].sum()])
        whole = self._context.workers.add_up(*part.flatten().tolist())
        return torch.tensor(whole, dtype=torch.float32).view(-1, 2)


def pair_loss(
    chosen: Tensor, rejected: Tensor, reference: Tensor, config: DpoConfig
) -> tuple[Tensor, tuple[float, float, float, float]]:
    """Return the loss of a pair, differentiable, and its margin, accuracy and log-probabilities as numbers.

    Args:
        chosen: The log-probabilities of the answer's tokens, shape (tokens,).
        rejected: Those of the rejected answer.
        reference: The reference's sums over the tokens of both, shape (2,).
        config: The loss.
    """
    sums = torch.stack([chosen.sum(), rejected.sum()])
    ratios = sums - reference.to(sums.device)
    if config.loss_type is PreferenceLoss.SIGMOID_NORM:
        ratios = ratios / ratios.new_tensor([len(chosen), len(rejected)])
    margin = config.beta * (ratios[0] - ratios[1])
    wrong = config.label_smoothing
    loss = -(1.0 - wrong) * logsigmoid(margin) - wrong * logsigmoid(-margin)
    return loss, (margin.item(), float(margin.item() > 0), sums[0].item(), sums[1].item())


def _sequences(pairs: Sequence[EncodedPair]) -> list[TrainedSequence]:
    return [sequence for pair in pairs for sequence in pair.sequences]
