"""What a step trains on: the sequences of the groups whose rewards differ, as plain tensors that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from services.lm.training.sequence import TrainedSequence
from services.trainer.training.examples import BadExampleError

_PREFIX: Final = "drawing."
_TOKENS: Final = ("advantages", "drawn", "old", "reference")


@dataclass(frozen=True)
class KnownScores:
    """What is known of a sequence's trained tokens before the update; all of the shape (trained,).

    Attributes:
        advantages: How much better than the group's others each token's rollout did.
        drawn: Log-probabilities by the engine that drew them.
        old: By the trainer, with the weights that they were drawn with.
        reference: By the model as it was before the first step; None where staying near it counts nothing.
    """

    advantages: Tensor
    drawn: Tensor
    old: Tensor
    reference: Tensor | None = None


@dataclass(frozen=True)
class DrawnSequence:
    """One trained sequence.

    Attributes:
        group: The place of its prompt in the step.
        advantages: Of each trained token, float32, shape (trained,), as the next ones.
        drawn: Log-probabilities by the engine.
        old: By the trainer with the weights of the drawing; empty until they are computed.
        reference: By the model before step 0; empty where nobody asks.
    """

    group: int
    sequence: TrainedSequence
    advantages: Tensor
    drawn: Tensor
    old: Tensor
    reference: Tensor

    def known(self, device: torch.device) -> KnownScores:
        """Return what the loss needs, on the device where it is computed."""
        reference = self.reference.to(device) if len(self.reference) else None
        return KnownScores(self.advantages.to(device), self.drawn.to(device), self.old.to(device), reference)


def to_state(sequences: Sequence[DrawnSequence]) -> dict[str, Tensor]:
    """Return the sequences as tensors by name."""
    parts = [item.sequence for item in sequences]
    state = {
        "ids": torch.tensor([token for part in parts for token in part.ids], dtype=torch.long),
        "lengths": torch.tensor([len(part.ids) for part in parts], dtype=torch.long),
        "groups": torch.tensor([item.group for item in sequences], dtype=torch.long),
        "spans": torch.tensor(
            [(place, *span) for place, part in enumerate(parts) for span in part.spans], dtype=torch.long
        ).reshape(-1, 3),
    }
    for name in _TOKENS:
        state[name] = torch.cat([getattr(item, name) for item in sequences] or [torch.zeros(0)])
    return {_PREFIX + name: tensor for name, tensor in state.items()}


def from_state(state: Mapping[str, Tensor]) -> tuple[DrawnSequence, ...]:
    """Return what `to_state` was called on.

    Raises:
        BadExampleError: The state holds no drawing.
    """
    if _PREFIX + "ids" not in state:
        raise BadExampleError(
            "The checkpoint lacks the drawn answers that its next step trains on: go on from another one."
        )
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}
    ids, spans = tensors["ids"].tolist(), tensors["spans"].tolist()
    edges = [0, *tensors["lengths"].cumsum(0).tolist()]
    parts = [
        TrainedSequence(tuple(ids[start:end]), tuple((a, b) for owner, a, b in spans if owner == place))
        for place, (start, end) in enumerate(pairwise(edges))
    ]
    counts = [part.num_trained for part in parts]
    scores = {name: torch.split(tensors[name], counts if len(tensors[name]) else [0] * len(parts)) for name in _TOKENS}
    return tuple(
        DrawnSequence(group, part, *(scores[name][place] for name in _TOKENS))
        for place, (group, part) in enumerate(zip(tensors["groups"].tolist(), parts, strict=True))
    )
