"""What the workers of one attempt compute together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed
from torch import Tensor

from services.lm.loading import faster_dtype

_CPU = torch.device("cpu")
T = TypeVar("T")


def collective_backend(*, uses_gpu: bool) -> str:
    """Return what workers talk by: gradients lie where they are computed, sums of plain numbers on the CPU always."""
    return "cpu:gloo,cuda:nccl" if uses_gpu else "gloo"


@dataclass(frozen=True)
class Workers:
    """The place of this process among `num_workers`; one alone needs no process group."""

    rank: int = 0
    num_workers: int = 1
    device: torch.device = _CPU

    @classmethod
    def joined(cls, rank: int, num_workers: int, meeting_file: Path) -> Workers:
        """Return this worker's place once all have met through a file that is there for nothing else."""
        if num_workers > 1:
            store = torch.distributed.FileStore(str(meeting_file), num_workers)  # type: ignore[attr-defined]
            backend = collective_backend(uses_gpu=torch.cuda.device_count() >= num_workers)
            torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=num_workers)
        return cls(rank, num_workers)

    def on(self, device: torch.device) -> Workers:
        """Return the same place with the device that computes there."""
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return replace(self, device=device)

    def add_up(self, *values: float) -> list[float]:
        """Return the sum of each value over all workers; every worker must call it at the same place."""
        if self.num_workers == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(sums)
        return [float(value) for value in sums]

    def gather(self, part: T) -> list[T]:
        """Return what each worker gave, in their order; every worker must call it at the same place."""
        if self.num_workers == 1:
            return [part]
        parts: list[T | None] = [None] * self.num_workers
        torch.distributed.all_gather_object(parts, part)
        return [part for part in parts if part is not None]

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace each gradient by its sum over all workers.

        Each worker's loss is its share of the mean over all trained tokens, so the sum is the gradient that one worker
        alone would have.
        """
        if self.num_workers == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.reshape(-1) for parameter in parameters if parameter.grad is not None])
        torch.distributed.all_reduce(flat)
        place = 0
        for parameter in parameters:
            size = parameter.numel()
            parameter.grad = flat[place : place + size].view_as(parameter)
            place += size

    def agreed_dtype(self, dtype: str) -> str:
        """Return the dtype that every worker uses; "auto" is bfloat16 where it is the faster one for all of them."""
        if dtype != "auto":
            return dtype
        (num_for_half,) = self.add_up(faster_dtype() == "bfloat16")
        return "bfloat16" if num_for_half == self.num_workers else "float32"

    def wait(self) -> None:
        """Return when every worker is here."""
        if self.num_workers > 1:
            torch.distributed.barrier()
