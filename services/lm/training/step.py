"""A step's gradients from any loss that is a function of the trained tokens' log-probabilities."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Final

import torch
from torch import Tensor

from services.lm.decoder.hooked import HookedPass, autocast, unwrapped
from services.lm.decoder.loss import log_probs_of_logits
from services.lm.decoder.model import lean
from services.lm.decoder.passes import LeanPass, Pass, Purpose
from services.lm.decoder.stack import Stack
from services.lm.decoder.whole import computed_whole
from services.lm.training.sequence import TrainedSequence
from services.lm.training.tree import Planner, Row, Trunk, Unit


def forward_whole(model: Any, sequence: TrainedSequence, *, entropies: bool) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the trained tokens, shape (num_trained,), and the entropies, or none; differentiable."""
    ids = torch.tensor([sequence.ids], device=model.device)
    trained = torch.tensor(list(sequence.trained_places()), dtype=torch.long, device=model.device)
    selects = "logits_to_keep" in signature(unwrapped(model).forward).parameters
    with computed_whole(model), autocast(model):
        logits = model(input_ids=ids, use_cache=False, **({"logits_to_keep": trained - 1} if selects else {})).logits[0]
    return log_probs_of_logits(logits if selects else logits[trained - 1], ids[0, trained], entropies=entropies)


# Tokens of a row on a processor, more are not computed faster, and of one behind a trunk, which is kept meanwhile: half
# as many cost little speed and save memory. A GPU takes all that are allowed.
_ROW_TOKENS: Final = 1024, 512


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
    loss = computed = 0.0
    units = units or [(place,) for place in range(len(sequences))]
    for scored, tokens in _scored(model, sequences, units, max_tokens, _Wanted(True, entropies, shares)):
        if scored.places:
            share = loss_of(scored)
            if share.requires_grad:
                share.backward()  # type: ignore[no-untyped-call]
            loss += share.item()
        computed += tokens
    return StepWork(loss, int(computed), sum(len(sequence.ids) for sequence in sequences))


def log_probs(
    model: Any, sequences: Sequence[TrainedSequence], *, max_tokens: int, shares: bool = True
) -> list[Tensor]:
    """The log-probabilities of each sequence's trained tokens, in the order of `sequences`, without a derivative.

    Args and errors as of `accumulate`.
    """
    results: dict[int, Tensor] = {}
    units = [(place,) for place in range(len(sequences))]
    with torch.no_grad():
        for scored, _ in _scored(model, sequences, units, max_tokens, _Wanted(False, False, shares)):
            results.update(zip(scored.places, scored.log_probs, strict=True))
    return [results[place] for place in range(len(sequences))]


@dataclass(frozen=True)
class _Wanted:
    trains: bool
    entropies: bool
    shares: bool


def _scored(
    model: Any, sequences: Sequence[TrainedSequence], units: Sequence[Unit], max_tokens: int, wanted: _Wanted
) -> Iterator[tuple[ScoredSequences, int]]:
    """Each micro-batch, and how many tokens it computed; their gradients are taken before the next is asked for."""
    if not wanted.shares:
        for unit in units:
            pairs = [forward_whole(model, sequences[place], entropies=wanted.entropies) for place in unit]
            values, spread = zip(*pairs, strict=True)
            tokens = sum(len(sequences[place].ids) for place in unit)
            yield ScoredSequences(tuple(unit), values, spread if wanted.entropies else ()), tokens
        return
    row_tokens = _ROW_TOKENS if model.device.type == "cpu" else (max_tokens, max_tokens)
    plan = Planner(sequences, max_tokens=max_tokens, row_tokens=row_tokens).planned(units)
    walk = _Walk(model, wanted)
    for branch in plan:
        yield from walk.along(branch, ())


class _Walk:
    """Computes a plan depth first: a trunk is kept while the rows behind it are computed, one after the other."""

    def __init__(self, model: Any, wanted: _Wanted) -> None:
        self._model, self._wanted = model, wanted
        # Layers that are computed again for their derivative are transformers' own; what is compared with them, too.
        self._decoder = None if unwrapped(model).is_activation_checkpointing else lean(model)
        if self._decoder is not None:
            self._decoder.refresh()
            if wanted.trains and self._decoder.stack.top != (0, 0):
                # A step was broken off; nobody takes back what it kept.
                self._decoder.stack = Stack()

    def along(self, branch: Trunk | Row, trunks: tuple[tuple[Row, Pass], ...]) -> Iterator[tuple[ScoredSequences, int]]:
        is_trunk = isinstance(branch, Trunk)
        row = branch.row if isinstance(branch, Trunk) else branch
        result = self._computed(row, trunks[-1][1] if trunks else None, is_trunk=is_trunk)
        tokens, path = row.tokens.ids.shape[0], (*trunks, (row, result))
        if isinstance(branch, Trunk):
            yield ScoredSequences((), (), ()), tokens
            for part in branch.branches:
                yield from self.along(part, path)
        else:
            yield self._joined(path), tokens
        if self._wanted.trains:
            result.backward()

    def _computed(self, row: Row, before: Pass | None, *, is_trunk: bool) -> Pass:
        purpose = Purpose(trains=self._wanted.trains, is_trunk=is_trunk, entropies=self._wanted.entropies)
        if self._decoder is None:
            return HookedPass(self._model, row.tokens, before, purpose)
        return LeanPass(self._decoder, row.tokens, before, purpose)

    def _joined(self, path: tuple[tuple[Row, Pass], ...]) -> ScoredSequences:
        """What the rows of the path came to, by sequence."""
        places = tuple(path[-1][0].shares)

        def by_place(kind: Callable[[Pass], Tensor]) -> tuple[Tensor, ...]:
            return tuple(torch.cat([kind(done)[row.shares[place]] for row, done in path]) for place in places)

        entropies = by_place(lambda done: done.entropies) if self._wanted.entropies else ()
        return ScoredSequences(places, by_place(lambda done: done.log_probs), entropies)
