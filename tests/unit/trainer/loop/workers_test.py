"""The workers of one attempt: what they talk by, and how one ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from drillyard.trainer.v1 import training_job_pb2

from services.trainer.training import worker
from services.trainer.training.workers import Workers, collective_backend
from tests.unit.trainer.reporter_test import Listener, listening


def test_workers_on_gpus_can_add_up_numbers_on_the_cpu_too() -> None:
    kinds = dict(part.split(":") for part in collective_backend(uses_gpu=True).split(","))
    assert kinds == {"cpu": "gloo", "cuda": "nccl"}
    assert collective_backend(uses_gpu=False) == "gloo"


def test_a_gpu_without_room_ends_the_attempt_for_good_with_the_setting_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_no_room(*_values: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(worker, "check_rows", lambda _plan: None)
    monkeypatch.setattr(worker, "train", has_no_room)
    workers, listener = Workers.joined(0, 1, tmp_path / "workers"), Listener()
    with listening(listener) as plan, pytest.raises(torch.OutOfMemoryError):
        worker.do(plan, workers, lambda: False, torch.device("cpu"))
    told = listener.heard[-1]
    assert (told.outcome, told.is_permanent) == (training_job_pb2.ATTEMPT_OUTCOME_FAILED, True)
    assert (
        told.reason.startswith("GPU_OOM: ")
        and f"max_tokens_per_pack to {plan.spec.max_tokens_per_pack // 2}" in told.reason
    )
