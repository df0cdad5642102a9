"""What a step of training computes: one module for each method; the loop around them is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from services.protocols.suites.dataset_row import DatasetRow


@dataclass(frozen=True)
class StepResult:
    """What one worker's part of a step came to.

    Attributes:
        loss: Its share of the step's loss; the workers' shares add up to it.
        num_tokens: Tokens it computed, a shared prefix counted once.
        means: What is measured beside the loss, by metric: (sum, count), which are added up over the workers. Every
            worker names the same metrics at every step, one without a part with a count of 0.
        num_drawn_tokens: Tokens that the model wrote for the step.
    """

    loss: float
    num_tokens: int
    means: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    num_drawn_tokens: int = 0


class Method(Protocol):
    """A method of training.

    A step is a function of the job's seed, the step's number, the weights, the optimizer and `state`; nothing else may
    carry over from one step to the next, so that a job goes on from a checkpoint bit for bit.
    """

    def num_steps(self) -> int:
        """Return the optimizer steps of the whole job."""
        ...

    def prepare(self) -> None:
        """Get ready, before step 0 or after a resume; every worker calls it once.

        Raises:
            BadExampleError: What a resumed job needs is not in its checkpoint.
        """
        ...

    def step(self, step: int) -> StepResult:
        """Add the gradients of this worker's part of the step, counted from 0, to the model's parameters."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """Return what a checkpoint must hold beside weights, optimizer and position; it comes back in the context."""
        ...

    def rows(self, step: int) -> Sequence[DatasetRow]:
        """Return the rows that the step trains on, over all workers."""
        ...
