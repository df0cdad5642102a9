"""What the loop does by its settings: when it measures, saves and ends, and how fast it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import LearningRateSchedule
from services.trainer.manifest import verify
from services.trainer.training.adherence import Validation
from services.trainer.training.examples import BadExampleError
from services.trainer.training.loop import DivergedError, train
from services.trainer.training.optimizer import adamw, learning_rate
from services.trainer.training.workers import Workers
from tests.unit.trainer.grpo.bench import context_of, loaded_tiny
from tests.unit.trainer.training_bench import Notes, dataset_rows, validation_rows, write_plan

BEST = {"load_best_model_at_end": True, "eval_steps": 1, "save_steps": 100}


def plan_of(folder: Path, **spec: Any) -> AttemptPlan:
    settings = {"batch_size": 2, "max_steps": 6, "lora": {"r": 2, "target_modules": ["q_proj"]}}
    return write_plan(folder, dataset_rows(2, words=1) + validation_rows(1), **settings | spec)


def run(plan: AttemptPlan, outcome: AttemptOutcome = AttemptOutcome.SUCCEEDED, **notes: Any) -> Notes:
    written = Notes(**notes)
    with torch.random.fork_rng(devices=[]):
        assert train(plan, Workers(), written) is outcome
    return written


def resumed(plan: AttemptPlan, notes: Notes) -> AttemptPlan:
    return replace(plan, attempt=plan.attempt + 1, resume_from=urlparse(notes.checkpoints[-1].uri).path)


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the measurements come to, one after the other."""
    values = [0.1, 0.5, 0.5, 0.4, 0.9, 0.9]
    monkeypatch.setattr(Validation, "measure", lambda _: {"adherence": values.pop(0)})
    return values


def test_training_ends_once_the_score_has_not_risen_for_so_many_measurements(
    tmp_path: Path, scores: list[float]
) -> None:
    plan = plan_of(tmp_path, early_stopping_patience=2, **BEST)
    notes = run(plan)
    assert list(notes.values["loss"]) == [1, 2, 3, 4] and len(scores) == 2
    assert [item.step for item in notes.checkpoints] == [1, 2, 3, 4]
    assert run(resumed(plan, notes)).values == {}


def test_the_patience_goes_on_over_a_resume_and_a_measurement_that_a_stop_left_out_is_made_up(
    tmp_path: Path, scores: list[float]
) -> None:
    plan = plan_of(tmp_path, early_stopping_patience=2, **BEST)
    first = run(plan, AttemptOutcome.STOPPED, stop_after=2)
    assert first.values["adherence"] == {1: 0.1, 2: 0.5}
    second = run(resumed(plan, first))
    assert second.values["adherence"] == {3: 0.5, 4: 0.4} and list(second.values["loss"]) == [4]


def test_the_best_needs_cases_to_measure_by(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, dataset_rows(2), **BEST)
    with pytest.raises(BadExampleError, match="no case of one answer to measure by"):
        run(plan)


def test_steps_beyond_the_passes_go_on_with_further_passes(tmp_path: Path) -> None:
    assert list(run(plan_of(tmp_path, max_steps=3, num_epochs=1)).values["loss"]) == [1, 2, 3]


def test_a_loss_that_is_no_number_keeps_the_checkpoint_before_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    first = run(plan, AttemptOutcome.STOPPED, stop_after=1)
    model = Path(plan.base_folder) / "model.safetensors"
    tensors = load_file(model)
    tensors["model.norm.weight"][:] = float("nan")
    save_file(tensors, model, metadata={"format": "pt"})
    with pytest.raises(DivergedError, match=r"loss of step 3 .*lower the learning rate.*\(lines (1, 2|2, 1) of"):
        run(resumed(plan, first))
    verify(Path(urlparse(first.checkpoints[-1].uri).path), plan.config_digest)


def test_matrices_decay_and_vectors_do_not_and_b_learns_faster(tmp_path: Path) -> None:
    loaded = loaded_tiny(tmp_path)
    loaded.model.requires_grad_(True)
    optimizer = adamw(loaded.model, context_of(loaded, dataset_rows(1), weight_decay=0.1).spec)
    names = {id(parameter): name for name, parameter in loaded.model.named_parameters()}
    groups = {names[id(p)]: group for group in optimizer.param_groups for p in group["params"]}
    assert len(groups) == len(names)
    for name, group in groups.items():
        assert group["weight_decay"] == (0.0 if "norm" in name else 0.1)
        assert group["lr_ratio"] == (4.0 if "lora_B" in name else 1.0)


@pytest.mark.parametrize(("schedule", "last"), [("constant", 1.0), ("linear", 0.25), ("cosine", 0.14644660940672627)])
def test_the_rate_falls_as_the_schedule_says(schedule: str, last: float) -> None:
    rates = [
        learning_rate(step, num_steps=5, peak=1.0, warmup_ratio=0.2, schedule=LearningRateSchedule(schedule))
        for step in range(5)
    ]
    assert rates[:2] == [1.0, 1.0] and rates[-1] == pytest.approx(last)
