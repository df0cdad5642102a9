"""Checkpoints are written while training goes on, and hold what was there when they were taken."""

from __future__ import annotations

import errno
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from services.trainer.domain.attempt import Checkpoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training import checkpoint
from services.trainer.training.checkpoint import Snapshot, write
from services.trainer.training.loop import train
from services.trainer.training.workers import Workers
from tests.machine import PATIENCE_SECONDS
from tests.unit.trainer.training_bench import Notes, write_plan
from tests.unit.trainer.weights.resume_test import files_of, run

pytestmark = pytest.mark.timeout(300)


class Gate(Notes):
    """Opens once two more steps are done after the first checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()

    def step(self, done: int, total: int, values: dict[str, float]) -> None:
        super().step(done, total, values)
        if done == 5:
            self.open.set()


def test_steps_go_on_while_a_checkpoint_is_written_and_it_holds_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()

    def write_late(plan: AttemptPlan, content: Snapshot) -> Checkpoint:
        assert gate.open.wait(PATIENCE_SECONDS), "training waited for the disk"
        return write(plan, content)

    monkeypatch.setattr(checkpoint, "write", write_late)
    plan = write_plan(tmp_path, save_total_limit=9)
    train(plan, Workers(), gate)
    assert [item.step for item in gate.checkpoints] == [3, 6, 8]
    monkeypatch.undo()
    stopped = replace(write_plan(tmp_path), checkpoint_folder=str(tmp_path / "stopped"))
    run(stopped, stop_after=2)
    early = files_of(stopped, 3, 1)
    assert files_of(plan, 3, 1) == early
    assert files_of(plan, 6, 1)["optimizer.safetensors"] != early["optimizer.safetensors"]


def failing(*steps: int) -> object:
    def write_or_fail(plan: AttemptPlan, content: Snapshot) -> Checkpoint:
        if content.position.step in steps:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(plan, content)

    return write_or_fail


def test_a_checkpoint_that_cannot_be_written_is_told_and_the_next_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "write", failing(3))
    notes = Notes()
    train(write_plan(tmp_path), Workers(), notes)
    assert [item.step for item in notes.checkpoints] == [6, 8]
    assert [notice for notice in notes.notices if "could not be written" in notice and "No space left" in notice]


def test_training_does_not_end_well_without_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "write", failing(8))
    with pytest.raises(OSError, match="No space left"):
        train(write_plan(tmp_path), Workers(), Notes())
