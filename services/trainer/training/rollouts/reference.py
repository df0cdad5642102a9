"""The model as it was before the first step, beside the one in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

_PREFIX: Final = "reference."
_DOWN: Final = "lora_A"
_UP: Final = "lora_B"


class Reference:
    """Puts the first weights in the place of the present ones for a while.

    A new plain LoRA needs no memory for it: with B at 0 it is off. Any other adapter, and a model that is trained as a
    whole, is kept as a copy of its trained weights, in memory and in checkpoints.
    """

    def __init__(self, model: Any, state: Mapping[str, Tensor], *, is_start: bool) -> None:
        """At the start of a job the weights are taken from `model`, later from the `state` that a checkpoint holds."""
        self._weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        first = {name: weight.detach() for name, weight in self._weights.items()} if is_start else _stored(state)
        is_off = is_start and all(
            not bool(weight.any()) if _UP in name else _DOWN in name for name, weight in first.items()
        )
        self._first = {} if is_off else {name: weight.clone() for name, weight in first.items()}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model computes what it did before the first step; compute nothing to train there."""
        first = self._first or {name: torch.zeros_like(weight) for name, weight in self._weights.items() if _UP in name}
        present = {name: self._weights[name].detach().clone() for name in first}
        self._write(first)
        try:
            yield
        finally:
            self._write(present)

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""
        return {_PREFIX + name: weight for name, weight in self._first.items()}

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._weights[name].copy_(value)


def _stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_PREFIX): weight for name, weight in state.items() if name.startswith(_PREFIX)}
