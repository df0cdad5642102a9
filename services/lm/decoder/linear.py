"""Linear layers that share an input, with their LoRA adapters, as one matrix product.

The columns of the product's weight hold the base weights and, behind them, each adapter's `B` times its scaling; the
columns of its input hold `x` and, behind it, `x A`. So `x W + s (x A) B` is one product, and so is its derivative.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Makes a tensor of any values of the type of another one: empty(other, *shape).
Empty = Callable[..., Tensor]


@dataclass(frozen=True)
class LinearPart:
    """One of the layers: its base weight (outputs, inputs), bias if any, and its adapter's tensors if any.

    `is_adapted` says whether the adapter counts now.
    """

    weight: Tensor
    bias: Tensor | None
    down: Tensor | None
    up: Tensor | None
    scaling: float
    is_adapted: Callable[[], bool]

    @property
    def rank(self) -> int:
        """The adapter's rank, 0 without one."""
        return 0 if self.down is None else self.down.shape[0]


class JoinedLinear:
    """Several `LinearPart`s as one product; `refresh` takes the adapters' present values."""

    def __init__(self, parts: Sequence[LinearPart]) -> None:
        """Take over the base weights, which are taken to be frozen: the layers' own become a part of the product's."""
        self.parts = tuple(parts)
        self.inputs = parts[0].weight.shape[1]
        self.outputs = [part.weight.shape[0] for part in parts]
        self.rank = sum(part.rank for part in parts)
        dtype = parts[0].weight.dtype
        self._weight = torch.zeros(sum(self.outputs), self.inputs + self.rank, dtype=dtype)
        self._down = torch.zeros(self.rank, self.inputs, dtype=dtype)
        self._bias = _joined_bias(self.parts, dtype)
        for part, rows, _ in self._places():
            own = self._weight[rows, : self.inputs]
            part.weight.data = own.copy_(part.weight.detach())

    def refresh(self) -> None:
        """Copy the adapters' present values into the product."""
        for part, rows, columns in self._places():
            if part.down is not None and part.up is not None:
                self._down[columns] = part.down.detach().to(self._down.dtype)
                shifted = slice(self.inputs + columns.start, self.inputs + columns.stop)
                scaling = part.scaling if part.is_adapted() else 0.0
                self._weight[rows, shifted] = (part.up.detach() * scaling).to(self._weight.dtype)

    def room(self, tokens: int, empty: Empty = Tensor.new_empty) -> Tensor:
        """An input to fill: `[:, :inputs]` is the caller's."""
        return empty(self._weight, tokens, self.inputs + self.rank)

    def forward(self, room: Tensor, empty: Empty = Tensor.new_empty) -> Tensor:
        """The joined outputs, shape (tokens, sum of outputs), in memory from `empty`; fills the rest of `room`."""
        if self.rank:
            torch.mm(room[:, : self.inputs], self._down.t(), out=room[:, self.inputs :])
        result = empty(room, room.shape[0], self._weight.shape[0])
        if self._bias is None:
            return torch.mm(room, self._weight.t(), out=result)
        return torch.addmm(self._bias, room, self._weight.t(), out=result)

    def adapted(self, room: Tensor, empty: Empty) -> Tensor:
        """What `forward` filled in, to be kept for `backward`."""
        return empty(room, room.shape[0], self.rank).copy_(room[:, self.inputs :])

    def backward(self, gradient: Tensor, *, to_inputs: bool = True) -> tuple[Tensor, Tensor]:
        """The gradient with respect to `x`, which means nothing unless it is wanted, and that of what was adapted."""
        whole = gradient @ (self._weight if to_inputs else self._weight[:, self.inputs :])
        if not to_inputs:
            return whole, whole
        result, d_adapted = whole[:, : self.inputs], whole[:, self.inputs :]
        return (result.addmm_(d_adapted, self._down) if self.rank else result), d_adapted

    def add_gradients(self, gradient: Tensor, x: Tensor, adapted: Tensor, d_adapted: Tensor) -> None:
        """Add those of the adapters to theirs, given what `backward` was given and gave."""
        if not any(part.down is not None and part.down.requires_grad for part in self.parts):
            return
        # The short side first and without strides: several times as fast as product by product (measured, AMX).
        downs, ups = d_adapted.t().contiguous() @ x, adapted.t().contiguous() @ gradient
        for part, rows, columns in self._places():
            if part.down is not None:
                _add(part.down, downs[columns], 1.0)
                _add(part.up, ups[columns, rows].t(), part.scaling)

    def _places(self) -> Any:
        row = column = 0
        for part, outputs in zip(self.parts, self.outputs, strict=True):
            yield part, slice(row, row + outputs), slice(column, column + part.rank)
            row, column = row + outputs, column + part.rank


def _add(parameter: Tensor, gradient: Tensor, scaling: float) -> None:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    parameter.grad.add_(gradient, alpha=scaling)


def _joined_bias(parts: Sequence[LinearPart], dtype: torch.dtype) -> Tensor | None:
    if all(part.bias is None for part in parts):
        return None
    pieces = [
        torch.zeros(part.weight.shape[0], dtype=dtype) if part.bias is None else part.bias.detach() for part in parts
    ]
    return torch.cat(pieces)
