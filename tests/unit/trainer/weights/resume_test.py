"""Every method with every kind of weights goes on from a checkpoint bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.lm.errors import LmError, NoSuchDevice
from services.lm.loading import load
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan
from services.trainer.manifest import place_for, verify, write_fork
from services.trainer.training.examples import BadExampleError
from services.trainer.training.loop import train
from services.trainer.training.workers import Workers
from tests.unit.trainer.training_bench import Notes, dataset_rows, preference_rows, write_plan

SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
KINDS: dict[str, dict[str, Any]] = {
    "full": {"trained_weights": "full", "weight_decay": 0.1, "max_steps": 3},
    "scratch": {
        "trained_weights": "from_scratch",
        "scratch": SMALL | {"vocab_size": 300},
        "lr_scheduler_type": "linear",
    },
    "scratch in bfloat16": {
        "trained_weights": "from_scratch",
        "scratch": SMALL,
        "dtype": "bfloat16",
        "gradient_checkpointing": True,
    },
    "dropout and whole modules": {
        "lora": {
            "r": 4,
            "lora_dropout": 0.2,
            "modules_to_save": ["embed_tokens"],
            "init_lora_weights": "pissa",
        }
    },
    "preferences": {"method": "dpo"},
    "preferences of all weights": {
        "method": "dpo",
        "trained_weights": "full",
        "dpo": {"loss_type": "sigmoid_norm"},
    },
}
METRICS = {"loss", "gradient_norm", "learning_rate"}


def plan_of(folder: Path, **spec: Any) -> AttemptPlan:
    folder.mkdir(exist_ok=True)
    rows = (preference_rows if spec.get("method") else dataset_rows)(4)
    settings = {"num_epochs": 2, "batch_size": 3, "save_steps": 100, "learning_rate": 3e-3}
    return write_plan(folder, rows, **settings | spec)


def run(plan: AttemptPlan, **notes: Any) -> Notes:
    written = Notes(**notes)
    with torch.random.fork_rng(devices=[]):
        assert train(plan, Workers(), written) in (AttemptOutcome.SUCCEEDED, AttemptOutcome.STOPPED)
    return written


def files_of(plan: AttemptPlan, step: int, attempt: int) -> dict[str, bytes]:
    folder = place_for(Path(plan.checkpoint_folder), step, attempt)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != "manifest.json"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_job_ends_with_the_same_bytes(tmp_path: Path, kind: str) -> None:
    straight = plan_of(tmp_path / "straight", **KINDS[kind])
    whole = run(straight)
    plan = replace(plan_of(tmp_path / "stopped", **KINDS[kind]), base_folder=straight.base_folder)
    first = run(plan, stop_after=1)
    (saved,) = first.checkpoints
    second = run(replace(plan, attempt=2, resume_from=urlparse(saved.uri).path))
    last = whole.checkpoints[-1].step
    assert 1 < saved.step < last
    for metric in METRICS:
        assert first.values[metric] | second.values[metric] == whole.values[metric]
    expected, found = files_of(straight, last, 1), files_of(plan, last, 2)
    assert expected == found
    assert {"optimizer.safetensors", "position.json"} < found.keys()
    assert ("method.safetensors" in found) == ("method" in KINDS[kind])


def test_all_weights_are_saved_as_a_model_with_the_files_of_its_base(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "job", max_steps=1, trained_weights="full")
    (saved,) = run(plan).checkpoints
    result, base = Path(urlparse(saved.uri).path) / "model", Path(plan.base_folder)
    names = {path.name for path in base.iterdir()}
    assert {path.name for path in result.iterdir()} == names
    assert all((result / name).read_bytes() == (base / name).read_bytes() for name in names - {"model.safetensors"})
    before, after = load_file(base / "model.safetensors"), load_file(result / "model.safetensors")
    assert before.keys() == after.keys() and not any(torch.equal(before[name], after[name]) for name in before)
    assert load(result, dtype="float32").digest


def test_a_model_from_scratch_has_its_own_sizes_and_vocabulary_and_the_template(tmp_path: Path) -> None:
    (saved,) = run(plan_of(tmp_path / "job", max_steps=1, **KINDS["scratch"])).checkpoints
    loaded = load(Path(urlparse(saved.uri).path) / "model", dtype="float32")
    config = loaded.model.config
    assert {name: getattr(config, name) for name in SMALL} == SMALL
    assert 260 < len(loaded.tokenizer) == config.vocab_size <= 300
    assert loaded.eos_ids == {loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")}
    text = "<|im_start|>assistant\n<read_file><path>"
    ids = loaded.tokenizer.encode(text)
    assert loaded.tokenizer.decode(ids) == text and len(ids) < len(text) - len("<|im_start|>")
    assert "<|im_start|>" in str(loaded.tokenizer.chat_template)


def test_a_checkpoint_without_the_reference_or_the_optimizer_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "job", **KINDS["preferences"])
    (saved,) = run(plan, stop_after=1).checkpoints
    folder = Path(urlparse(saved.uri).path)
    resumed = replace(plan, attempt=2, resume_from=str(folder))
    (folder / "method.safetensors").unlink()
    with pytest.raises(BadExampleError, match=r"lacks the reference.*method\.safetensors.*start a new job"):
        run(resumed)
    (folder / "optimizer.safetensors").unlink()
    with pytest.raises(BadExampleError, match=r"lacks optimizer\.safetensors"):
        run(resumed)


@pytest.mark.parametrize("kind", ["preferences", "full"])
def test_a_fork_begins_its_own_steps_with_the_weights_and_the_optimizer_of_a_checkpoint(
    tmp_path: Path, kind: str
) -> None:
    plan = plan_of(tmp_path / "source", **KINDS[kind])
    (saved,) = run(plan, stop_after=1).checkpoints
    fork = tmp_path / "fork" / "step-00000000-attempt-000"
    write_fork(Path(urlparse(saved.uri).path), fork, config_digest=plan.config_digest)
    verify(fork, plan.config_digest)
    forked = replace(plan, resume_from=str(fork), checkpoint_folder=str(tmp_path / "forked"))
    notes, anew = run(forked), run(replace(plan, checkpoint_folder=str(tmp_path / "anew")))
    assert list(notes.values["loss"]) == list(anew.values["loss"])
    assert notes.values["loss"][2] != anew.values["loss"][2]
    steps = load_file(Path(urlparse(notes.checkpoints[-1].uri).path) / "optimizer.safetensors")
    counts = {int(value) for name, value in steps.items() if name.endswith(".step")}
    assert counts == {saved.step + len(notes.values["loss"])}


def test_an_optimizer_of_other_weights_is_refused_by_name(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "job")
    (saved,) = run(plan, stop_after=1).checkpoints
    moments = Path(urlparse(saved.uri).path) / "optimizer.safetensors"
    save_file({f"other.{name}": tensor for name, tensor in load_file(moments).items()}, moments)
    with pytest.raises(BadExampleError, match=r"optimizer\.safetensors.*holds other"):
        run(replace(plan, attempt=2, resume_from=urlparse(saved.uri).path))


def test_a_base_in_4_bits_is_refused_without_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(NoSuchDevice, match=r"by a GPU alone.*Leave load_in_4bit out"):
        run(plan_of(tmp_path / "job", load_in_4bit=True))


def test_a_module_that_the_model_lacks_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(LmError, match=r"no module 'c_attn' for target_modules.*down_proj.*q_proj"):
        run(plan_of(tmp_path / "job", lora={"r": 2, "target_modules": ["c_attn"]}))
