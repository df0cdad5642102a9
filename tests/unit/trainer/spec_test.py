"""What a training job may be asked to do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import InvalidArgument, Unimplemented
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
        (changed("lora.r", 8), INPUTS),
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


def test_a_field_that_has_its_default_does_not_count_in_the_digest() -> None:
    """So a checkpoint of the release before a field was added fits the job still."""
    document = {"model_version_id": "tiny@1", "dataset_version_id": "drills@1", "output_model_id": "tiny"}
    digests = ["sha256:base", "", "sha256:drills"]
    text = json.dumps({"digests": digests, "spec": document}, sort_keys=True, separators=(",", ":"))
    assert INPUTS.config_digest(GOOD) == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
