"""What a training job may be asked to do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import InvalidArgument
from services.chassis.wire import from_document
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.spec import TrainedWeights, TrainingJobSpec, TrainingMethod

GOOD = from_document(TrainingJobSpec, {"model_version_id": "tiny@1", "dataset_version_id": "drills@1"})
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


NEW: dict[str, Any] = {"trained_weights": "from_scratch"}


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"lora": {"target_modules": ["q_proj", "../etc"]}}, "lora.target_modules", "no layer can have"),
        ({"lora": {"modules_to_save": ["a b"]}}, "lora.modules_to_save", "no layer can have"),
        (
            {"lora": {"target_modules": ["x"], "modules_to_save": ["x"]}},
            "lora.modules_to_save",
            "and to be trained",
        ),
        ({"lora": {"rank_pattern": ["down_proj"]}}, "lora.rank_pattern", "no module with a number"),
        ({"lora": {"rank_pattern": ["down_proj=0"]}}, "lora.rank_pattern", "no module with a number"),
        ({"lora": {"rank_pattern": ["q=2", "q=4"]}}, "lora.rank_pattern", "a module twice"),
        ({"lora": {"rank_pattern": ["q=2048"]}}, "lora.rank_pattern", "rank above 1024"),
        ({"lora": {"alpha_pattern": ["q:4"]}}, "lora.alpha_pattern", "no module with a number"),
        ({"lora": {"r": 5, "init_lora_weights": "orthogonal"}}, "lora.init_lora_weights", "an even rank"),
        ({"batch_size": 2, "num_workers": 3}, "num_workers", "share a batch"),
        ({"load_best_model_at_end": True}, "eval_steps", "Nothing is measured"),
        ({"early_stopping_patience": 2}, "eval_steps", "Nothing is measured"),
        ({"scratch": {"hidden_size": 64}}, "scratch.hidden_size", "where trained_weights is from_scratch"),
        ({"trained_weights": "full", "lora": {"use_dora": True}}, "lora.use_dora", "where trained_weights is lora"),
        (NEW | {"lora": {"modules_to_save": ["norm"]}}, "lora.modules_to_save", "here it is from_scratch"),
        ({"dpo": {"beta": 0.5}}, "dpo.beta", "where method is dpo"),
        ({"method": "dpo", "grpo": {"temperature": 0.5}}, "grpo.temperature", "where method is grpo"),
        (
            NEW | {"scratch": {"hidden_size": 64, "num_attention_heads": 3}},
            "scratch.num_attention_heads",
            "divided",
        ),
        (
            NEW | {"scratch": {"num_attention_heads": 4, "num_key_value_heads": 3}},
            "scratch.num_key_value_heads",
            "divided",
        ),
        ({"load_in_4bit": True, "trained_weights": "full"}, "load_in_4bit", "only an adapter"),
        ({"load_in_4bit": True, "lora": {"init_lora_weights": "pissa"}}, "load_in_4bit", "taken out"),
        ({"load_in_4bit": True, "lora": {"modules_to_save": ["norm"]}}, "load_in_4bit", "trained whole"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_refused_by_name(
    settings: dict[str, Any], field: str, words: str
) -> None:
    names = {"model_version_id": "tiny@1", "dataset_version_id": "drills@1"}
    with pytest.raises(InvalidArgument, match=words) as error:
        from_document(TrainingJobSpec, names | settings).check()
    assert error.value.fields["field"] == f"spec.{field}" and error.value.next_step


@pytest.mark.parametrize("weights", TrainedWeights)
@pytest.mark.parametrize("method", TrainingMethod)
def test_every_method_trains_every_kind_of_weights(method: TrainingMethod, weights: TrainedWeights) -> None:
    replace(GOOD, method=method, trained_weights=weights).check()


@pytest.mark.parametrize(
    ("spec", "inputs"),
    [
        (replace(GOOD, seed=1), INPUTS),
        (replace(GOOD, num_workers=2), INPUTS),
        (changed("lora.r", 8), INPUTS),
        (GOOD, replace(INPUTS, dataset=Artifact("file:///drills", "sha256:other"))),
        (GOOD, replace(INPUTS, base=Artifact("file:///base", "sha256:other"))),
        (GOOD, replace(INPUTS, validation=Artifact("file:///measured", "sha256:measured"))),
        (GOOD, replace(INPUTS, adapter=Artifact("file:///adapter", "sha256:adapter"))),
    ],
)
def test_every_change_of_what_is_trained_changes_the_digest(spec: TrainingJobSpec, inputs: TrainingInputs) -> None:
    assert inputs.config_digest(spec) != INPUTS.config_digest(GOOD)


def test_inputs_come_back_as_they_were_stored() -> None:
    measured = replace(INPUTS, validation_dataset_version_id="other@1", validation=Artifact("file:///o", "sha256:o"))
    assert TrainingInputs.from_document(measured.to_document()) == measured


def test_bytes_that_moved_keep_the_digest() -> None:
    moved = replace(INPUTS, base=Artifact("s3://elsewhere/base", "sha256:base"))
    assert moved.config_digest(GOOD) == INPUTS.config_digest(GOOD)


def test_a_field_that_has_its_default_does_not_count_in_the_digest() -> None:
    """So a checkpoint of the release before a field was added fits the job still."""
    document = {"model_version_id": "tiny@1", "dataset_version_id": "drills@1", "output_model_id": "tiny"}
    digests = ["sha256:base", "", "sha256:drills"]
    text = json.dumps({"digests": digests, "spec": document}, sort_keys=True, separators=(",", ":"))
    assert INPUTS.config_digest(GOOD) == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
