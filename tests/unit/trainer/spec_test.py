"""What a training job may be asked to do."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import InvalidArgument, Unimplemented
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.spec import BOUNDS, LoraConfig, TrainedWeights, TrainingJobSpec, TrainingMethod

GOOD = TrainingJobSpec("tiny@1", "drills@1")
INPUTS = TrainingInputs(
    model_version_id="tiny@1",
    base_model_version_id="tiny@1",
    output_model_id="tiny",
    base=Artifact("file:///base", "sha256:base"),
    adapter=None,
    dataset_version_id="drills@1",
    dataset=Artifact("file:///drills", "sha256:drills"),
)


def changed(name: str, value: Any) -> TrainingJobSpec:
    if name.startswith("lora."):
        return replace(GOOD, lora=replace(GOOD.lora, **{name.removeprefix("lora."): value}))
    return replace(GOOD, **{name: value})


def test_a_spec_of_defaults_is_good_and_survives_storing() -> None:
    spec = replace(GOOD, lora=LoraConfig(target_modules=("q_proj",)))
    spec.check()
    assert TrainingJobSpec.from_document(spec.to_document()) == spec


def test_zeros_become_the_defaults_of_the_contract() -> None:
    zeros: dict[str, Any] = {name: 0 for name in BOUNDS if not name.startswith("lora.")}
    spec = replace(GOOD, **zeros, lora=LoraConfig(r=0, lora_alpha=0)).with_defaults()
    assert spec == GOOD
    assert (spec.batch_size, spec.learning_rate, spec.save_steps, spec.save_total_limit) == (8, 1e-3, 10, 2)
    assert (spec.lora.r, spec.lora.lora_alpha, spec.max_tokens_per_pack, spec.num_workers) == (16, 32, 6144, 1)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 1e30])
def test_a_value_out_of_bounds_is_refused_by_the_name_of_its_field(name: str, value: float) -> None:
    with pytest.raises(InvalidArgument) as error:
        changed(name, value).with_defaults().check()
    assert error.value.fields["field"] == f"spec.{name}"
    assert name in error.value.problem and error.value.next_step


@pytest.mark.parametrize("name", ["model_version_id", "dataset_version_id"])
@pytest.mark.parametrize("value", ["", "x" * 201, "a\nb"])
def test_ids_that_cannot_be_ids_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidArgument, match=name):
        changed(name, value).check()


def test_module_names_are_names() -> None:
    with pytest.raises(InvalidArgument, match="target_modules"):
        changed("lora.target_modules", ("q_proj", "../etc")).check()


def test_workers_beyond_the_batch_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="share a batch"):
        replace(GOOD, batch_size=2, num_workers=3).check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", TrainingMethod.DPO),
        ("method", TrainingMethod.GRPO),
        ("trained_weights", TrainedWeights.FULL),
        ("trained_weights", TrainedWeights.FROM_SCRATCH),
    ],
)
def test_what_is_not_built_says_so_and_what_to_do_instead(name: str, value: Any) -> None:
    with pytest.raises(Unimplemented, match="not built in this version") as error:
        changed(name, value).check()
    assert error.value.next_step


@pytest.mark.parametrize(
    ("spec", "inputs"),
    [
        (replace(GOOD, seed=1), INPUTS),
        (replace(GOOD, num_workers=2), INPUTS),
        (replace(GOOD, lora=LoraConfig(r=8)), INPUTS),
        (GOOD, replace(INPUTS, dataset=Artifact("file:///drills", "sha256:other"))),
        (GOOD, replace(INPUTS, base=Artifact("file:///base", "sha256:other"))),
        (GOOD, replace(INPUTS, adapter=Artifact("file:///adapter", "sha256:adapter"))),
    ],
)
def test_every_change_of_what_is_trained_changes_the_digest(spec: TrainingJobSpec, inputs: TrainingInputs) -> None:
    assert inputs.config_digest(spec) != INPUTS.config_digest(GOOD)


def test_bytes_that_moved_keep_the_digest() -> None:
    moved = replace(INPUTS, base=Artifact("s3://elsewhere/base", "sha256:base"))
    assert moved.config_digest(GOOD) == INPUTS.config_digest(GOOD)
