"""What the workers of one attempt talk by."""

from __future__ import annotations

from services.trainer.training.workers import collective_backend


def test_workers_on_gpus_can_add_up_numbers_on_the_cpu_too() -> None:
    kinds = dict(part.split(":") for part in collective_backend(uses_gpu=True).split(","))
    assert kinds == {"cpu": "gloo", "cuda": "nccl"}
    assert collective_backend(uses_gpu=False) == "gloo"
