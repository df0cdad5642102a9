"""The loss of rows that are held out is the loss that training them would have."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.loop import train
from services.trainer.training.workers import Workers
from tests.unit.trainer.training_bench import Notes, dataset_rows, write_plan


def _measured(folder: Path, plan: AttemptPlan) -> Notes:
    held_out = folder / "held_out.jsonl"
    held_out.write_text("".join(json.dumps(row) + "\n" for row in dataset_rows(4)))
    notes = Notes()
    train(replace(plan, validation_file=str(held_out)), Workers(), notes)
    return notes


def test_it_is_what_the_next_step_starts_from(tmp_path: Path) -> None:
    spec = {"batch_size": 4, "num_epochs": 4, "eval_steps": 1, "learning_rate": 4e-3, "lora": {"r": 4}}
    values = _measured(tmp_path, write_plan(tmp_path, dataset_rows(4), **spec)).values
    loss, validation_loss = values["loss"], values["validation_loss"]
    assert sorted(validation_loss) == [1, 2, 3, 4]
    assert [validation_loss[step] for step in (1, 2, 3)] == pytest.approx([loss[step] for step in (2, 3, 4)], abs=1e-4)


def test_it_changes_nothing_and_comes_at_the_end_alone_unless_asked_for(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, dataset_rows(4), batch_size=4, num_epochs=3)
    alone = Notes()
    train(replace(plan, checkpoint_folder=str(tmp_path / "alone")), Workers(), alone)
    beside = _measured(tmp_path, plan)
    assert beside.values["loss"] == alone.values["loss"]
    assert sorted(beside.values["validation_loss"]) == [3] and "validation_loss" not in alone.values
