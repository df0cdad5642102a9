"""A step's gradients from any loss that is a function of the trained tokens' log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.lm.training.forward import forward, forward_whole
from services.lm.training.packs import packs_of
from services.lm.training.sequence import TrainedSequence


@dataclass(frozen=True)
class ScoredSequences:
    """What one micro-batch computed.

    Attributes:
        places: Of its sequences, in the step's list.
        log_probs: Of each sequence's trained tokens in order: float32, shape (num_trained of it,), differentiable.
        entropies: Of the distributions that these tokens were chosen from, in nats, without a derivative; empty unless
            asked for.
    """

    places: tuple[int, ...]
    log_probs: tuple[Tensor, ...]
    entropies: tuple[Tensor, ...]


# A micro-batch's share of the step's loss, a scalar that is divided by the step's denominator already.
LossOf = Callable[[ScoredSequences], Tensor]


@dataclass(frozen=True)
class StepWork:
    """What a step came to.

    Attributes:
        loss: The sum of the micro-batches' losses.
        num_computed_tokens: A shared prefix counted once.
        num_raw_tokens: Of all sequences.
    """

    loss: float
    num_computed_tokens: int
    num_raw_tokens: int


def accumulate(  # noqa: PLR0913
    model: Any,
    sequences: Sequence[TrainedSequence],
    loss_of: LossOf,
    *,
    max_tokens: int,
    units: Sequence[Sequence[int]] = (),
    shares: bool = True,
    entropies: bool = False,
) -> StepWork:
    """Add the gradients of the sum of `loss_of` over micro-batches to those of the model's parameters.

    Call it outside autocast: a model in bfloat16 is computed in bfloat16; log-probabilities are float32.

    Args:
        model: A causal language model, possibly wrapped by PEFT.
        sequences: This worker's part of the step; may be empty.
        loss_of: Called once for each micro-batch; each sequence is in one of them.
        max_tokens: Tokens whose computation is held in memory at once.
        units: Places that one call of `loss_of` needs together, such as a pair; each place in one of them. Default:
            each by itself.
        shares: Whether sequences are computed behind the prefixes that they share: `why_whole` must say "" for the
            longest. Otherwise each is computed by itself.
        entropies: Whether `loss_of` gets entropies.

    Raises:
        LimitExceeded: A unit needs more than `max_tokens`; it is named.
    """
    loss, computed = 0.0, 0
    for scored, tokens in _scored(model, sequences, units, max_tokens, shares=shares, entropies=entropies):
        share = loss_of(scored)
        if share.requires_grad:
            share.backward()  # type: ignore[no-untyped-call]
        loss += share.item()
        computed += tokens
    return StepWork(loss, computed, sum(len(sequence.ids) for sequence in sequences))


def log_probs(
    model: Any, sequences: Sequence[TrainedSequence], *, max_tokens: int, shares: bool = True
) -> list[Tensor]:
    """The log-probabilities of each sequence's trained tokens, in the order of `sequences`, without a derivative.

    Args and errors as of `accumulate`.
    """
    results: dict[int, Tensor] = {}
    with torch.no_grad():
        for scored, _ in _scored(model, sequences, (), max_tokens, shares=shares, entropies=False):
            results.update(zip(scored.places, scored.log_probs, strict=True))
    return [results[place] for place in range(len(sequences))]


def _scored(
    model: Any,
    sequences: Sequence[TrainedSequence],
    units: Sequence[Sequence[int]],
    max_tokens: int,
    *,
    shares: bool,
    entropies: bool,
) -> Iterator[tuple[ScoredSequences, int]]:
    """Each micro-batch, and how many tokens it computed."""
    units = units or [(place,) for place in range(len(sequences))]
    if not shares:
        for unit in units:
            pairs = [forward_whole(model, sequences[place], entropies=entropies) for place in unit]
            values, spread = zip(*pairs, strict=True)
            tokens = sum(len(sequences[place].ids) for place in unit)
            yield ScoredSequences(tuple(unit), values, spread if entropies else ()), tokens
        return
    for pack in packs_of(sequences, units, max_tokens=max_tokens):
        counts = [sequences[place].num_trained for place in pack.places]
        flat, flat_entropies = forward(model, pack, entropies=entropies)
        spread = torch.split(flat_entropies, counts) if entropies else ()
        yield ScoredSequences(pack.places, torch.split(flat, counts), spread), pack.input_ids.shape[1]
