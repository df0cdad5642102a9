"""The model as it was before the first step, beside the one in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from services.trainer.training.examples import BadExampleError

_PREFIX: Final = "reference."
_DOWN: Final = "lora_A"
_UP: Final = "lora_B"
# In a checkpoint: there is nothing to keep.
_IS_OFF: Final = _PREFIX + "is_off"


class Reference:
    """Puts the first weights in the place of the present ones for a while.

    A new plain LoRA needs no memory for it: with B at 0 it is off. Any other adapter, and a model that is trained as a
    whole, is kept as a copy of its trained weights, in memory and in checkpoints.
    """

    def __init__(self, model: Any, state: Mapping[str, Tensor], *, is_start: bool) -> None:
        """At the start of a job the weights are taken from `model`, later from the `state` that a checkpoint holds.

        Raises:
            BadExampleError: The state holds no reference.
        """
        self._weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        if not is_start:
            self._first = self._stored(state)
        elif all(not bool(weight.any()) if _UP in name else _DOWN in name for name, weight in self._weights.items()):
            self._first = {}
        else:
            self._first = {name: weight.detach().clone() for name, weight in self._weights.items()}

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
        if not self._first:
            return {_IS_OFF: torch.ones(1)}
        return {_PREFIX + name: weight for name, weight in self._first.items()}

    def _stored(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if _IS_OFF in state:
            return {}
        missing = [name for name in self._weights if _PREFIX + name not in state]
        if missing:
            raise BadExampleError(
                f"The checkpoint lacks the first weights of {missing[0]}, from which grpo.beta measures the distance: "
                "go on from another one, or start a new job."
            )
        return {name: state[_PREFIX + name].to(weight.device) for name, weight in self._weights.items()}

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._weights[name].copy_(value)
