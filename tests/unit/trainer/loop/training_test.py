"""The training loop without Ray: learning, resuming exactly, sharing the work, stopping."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import torch
from safetensors.torch import load_file
from transformers import Lfm2Config, Lfm2ForCausalLM

from services.lm.errors import LmError
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan
from services.trainer.manifest import place_for, places, verify
from services.trainer.training.examples import BadExampleError
from services.trainer.training.loop import DivergedError, train
from services.trainer.training.workers import Workers
from tests.unit.trainer.training_bench import Notes, dataset_rows, validation_rows, write_plan

pytestmark = pytest.mark.timeout(300)

NUM_STEPS = 8


@contextmanager
def quiet() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


@dataclass(frozen=True)
class Pair(Workers):
    """One of two workers, of which the other dies in a step: what they do together then ends as torch ends it."""

    num_workers: int = 2
    last_step: int = 5
    steps: list[int] = field(default_factory=list)

    def add_up(self, *values: float) -> list[float]:
        return list(values)

    def add_gradients(self, parameters: Sequence[torch.Tensor]) -> None:
        self.steps.append(len(parameters))
        if len(self.steps) > self.last_step:
            raise RuntimeError("Connection closed by peer")


def run(plan: AttemptPlan, **notes: Any) -> Notes:
    written = Notes(**notes)
    with quiet():
        outcome = train(plan, Workers(), written)
    assert outcome is (AttemptOutcome.STOPPED if written.stop_after < NUM_STEPS else AttemptOutcome.SUCCEEDED)
    return written


def adapter_of(plan: AttemptPlan, step: int, attempt: int = 1) -> dict[str, torch.Tensor]:
    folder = place_for(Path(plan.checkpoint_folder), step, attempt)
    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[AttemptPlan, Notes]:
    plan = write_plan(tmp_path_factory.mktemp("straight"), learning_rate=1e-2)
    return plan, run(plan)


def test_the_loss_falls_and_every_step_is_measured(straight: tuple[AttemptPlan, Notes]) -> None:
    _, notes = straight
    assert list(notes.values["loss"]) == list(range(1, NUM_STEPS + 1))
    assert notes.values["loss"][NUM_STEPS] < notes.values["loss"][1] - 0.1
    rates = list(notes.values["learning_rate"].values())
    assert rates[0] == pytest.approx(1e-2) and rates == sorted(rates, reverse=True)
    assert all(speed > 0 for speed in notes.values["tokens_per_second"].values())
    assert all(tokens > 0 for tokens in notes.values["tokens"].values())
    assert notes.phases == ["load_model", "train", "adherence"]


def test_only_the_newest_checkpoints_are_kept_and_the_end_is_one_of_them(straight: tuple[AttemptPlan, Notes]) -> None:
    plan, notes = straight
    assert [item.step for item in notes.checkpoints] == [3, 6, 8]
    assert [place.step for place in places(Path(plan.checkpoint_folder))] == [8, 6]


def test_a_stopped_job_goes_on_exactly_as_if_it_had_not_stopped(
    tmp_path: Path, straight: tuple[AttemptPlan, Notes]
) -> None:
    reference_plan, reference = straight
    plan = write_plan(tmp_path, learning_rate=1e-2)
    first = run(plan, stop_after=4)
    (last,) = [item for item in first.checkpoints if item.step == 5]
    resumed = replace(plan, attempt=2, resume_from=urlparse(last.uri).path)
    second = run(resumed)
    assert first.values["loss"] | second.values["loss"] == reference.values["loss"]
    assert list(second.values["loss"]) == [6, 7, 8]
    expected, found = adapter_of(reference_plan, 8), adapter_of(resumed, 8, attempt=2)
    assert expected.keys() == found.keys() and expected
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_job_that_had_ended_its_steps_trains_no_more(tmp_path: Path, straight: tuple[AttemptPlan, Notes]) -> None:
    plan, notes = straight
    again = run(replace(plan, attempt=2, resume_from=urlparse(notes.checkpoints[-1].uri).path))
    assert again.values == {} and again.checkpoints == []


def test_an_adapter_is_trained_further_not_begun_anew(tmp_path: Path, straight: tuple[AttemptPlan, Notes]) -> None:
    plan, notes = straight
    adapter = place_for(Path(plan.checkpoint_folder), 8, 1) / "adapter"
    further = run(replace(write_plan(tmp_path, learning_rate=1e-2), adapter_folder=str(adapter)))
    assert further.values["loss"][1] < notes.values["loss"][2]
    assert adapter_of(write_plan(tmp_path), 8).keys() == load_file(adapter / "adapter_model.safetensors").keys()


def test_an_adapter_that_is_trained_further_with_more_rank_begins_as_what_it_was(
    tmp_path: Path, straight: tuple[AttemptPlan, Notes]
) -> None:
    plan, _ = straight
    adapter = place_for(Path(plan.checkpoint_folder), 8, 1) / "adapter"
    same = run(replace(write_plan(tmp_path, learning_rate=1e-2), adapter_folder=str(adapter)))
    (tmp_path / "wide").mkdir()
    wide = write_plan(tmp_path / "wide", learning_rate=1e-2, lora={"r": 8, "lora_alpha": 64})
    wide = replace(wide, adapter_folder=str(adapter), base_folder=plan.base_folder)
    assert run(wide).values["loss"][1] == pytest.approx(same.values["loss"][1], abs=1e-6)
    weights = adapter_of(wide, 8)
    assert {weights[name].shape[0] for name in weights if ".lora_A." in name} == {8}
    assert any(weights[name][:, 4:].any() for name in weights if ".lora_B." in name), "what was added learns"
    for lora in ({"r": 8}, {"r": 6, "lora_alpha": 48}):
        with pytest.raises(LmError, match="keeps its settings"):
            run(replace(write_plan(tmp_path / "wide", lora=lora), adapter_folder=str(adapter)))


def test_a_model_with_convolutions_is_trained_example_by_example_and_says_why(
    tmp_path: Path, straight: tuple[AttemptPlan, Notes]
) -> None:
    assert straight[1].notices == []
    plan = write_plan(tmp_path, num_epochs=1)
    sizes = {"vocab_size": 260, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Lfm2Config(
        **sizes, intermediate_size=48, num_key_value_heads=2, layer_types=["conv", "full_attention"], eos_token_id=2
    )
    with quiet():
        Lfm2ForCausalLM(config).save_pretrained(tmp_path / "tiny")
    notes = Notes()
    with quiet():
        assert train(plan, Workers(), notes) is AttemptOutcome.SUCCEEDED
    (notice,) = notes.notices
    assert "by itself" in notice and "conv" in notice


def test_the_seed_changes_order_and_initialisation(tmp_path: Path, straight: tuple[AttemptPlan, Notes]) -> None:
    _, notes = straight
    other = run(write_plan(tmp_path, learning_rate=1e-2, seed=6))
    assert other.values["loss"] != notes.values["loss"]


def test_dropout_resumes_exactly_too(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"lora": {"r": 4, "lora_dropout": 0.2}, "learning_rate": 1e-2}
    (tmp_path / "whole").mkdir()
    whole = run(write_plan(tmp_path / "whole", **settings))
    plan = write_plan(tmp_path, **settings)
    first = run(plan, stop_after=4)
    second = run(replace(plan, attempt=2, resume_from=urlparse(first.checkpoints[-1].uri).path))
    assert first.values["loss"] | second.values["loss"] == whole.values["loss"]


def test_adherence_is_measured_on_the_validation_cases_at_steps_and_at_the_end(tmp_path: Path) -> None:
    rows = dataset_rows(4) + validation_rows(2)
    notes = run(write_plan(tmp_path, rows, batch_size=2, num_epochs=1, eval_steps=1))
    assert notes.values["adherence"] == {1: 0.0, 2: 0.0}
    assert notes.phases == ["load_model", "train", "adherence", "train", "adherence"]


def test_an_example_that_is_too_long_is_named(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, max_tokens_per_pack=150)
    with pytest.raises(BadExampleError, match=r"Example e0 has \d+ tokens, the limit is 150"):
        run(plan)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path, straight: tuple[AttemptPlan, Notes]) -> None:
    plan, _ = straight
    other = place_for(Path(plan.checkpoint_folder), 8, 1) / "adapter"
    folder = tmp_path / "wide"
    folder.mkdir()
    from services.lm.tiny import write_tiny_model

    write_tiny_model(folder / "tiny", hidden_size=96)
    with pytest.raises(LmError, match="shape"):
        run(replace(write_plan(folder), adapter_folder=str(other)))


def test_a_disk_that_is_full_leaves_the_older_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    saved = run(plan, stop_after=2).checkpoints
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(Exception, match="File too large"):
            run(replace(plan, attempt=2, resume_from=urlparse(saved[0].uri).path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in Path(plan.checkpoint_folder).iterdir()] == ["step-00000003-attempt-001"]
    verify(Path(urlparse(saved[0].uri).path), plan.config_digest)


@pytest.mark.parametrize(("rank", "names"), [(0, ["step-00000003-attempt-001"]), (1, [])])
def test_a_worker_that_dies_before_a_save_leaves_only_what_was_whole(
    tmp_path: Path, rank: int, names: list[str]
) -> None:
    plan = write_plan(tmp_path)
    with quiet(), pytest.raises(RuntimeError, match="closed by peer"):
        train(plan, Pair(rank), Notes())
    # The first of them writes all of a checkpoint, its manifest last, and the others write nothing.
    folder = Path(plan.checkpoint_folder)
    assert [path.name for path in (folder.iterdir() if folder.exists() else ())] == names
    for name in names:
        verify(folder / name, plan.config_digest)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    model = tmp_path / "tiny" / "model.safetensors"
    from safetensors.torch import save_file

    tensors = load_file(model)
    tensors["model.embed_tokens.weight"][:] = float("nan")
    save_file(tensors, model, metadata={"format": "pt"})
    with pytest.raises(DivergedError, match=r"loss of step 1 is not a number: .*\(lines \d+, \d+"):
        run(plan)
