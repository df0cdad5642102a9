from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from drillyard.feedback.v1 import loop_pb2
from drillyard.trainer.v1 import training_job_pb2

from services.chassis.errors import InvalidArgument, Unimplemented
from services.feedback.convert import spec_from_proto
from services.feedback.domain.spec import Budget, Goal, LoopSpec, checked, from_document, to_document, with_prompt_size

SPEC = LoopSpec("tiny", "roo_xml/core", (Goal("conforming_rate", 0.8),))


def test_what_is_unset_gets_its_default() -> None:
    spec = with_prompt_size(checked(SPEC), ("compact", "full"))
    assert (spec.prompt_size, spec.num_examples, spec.num_probe_cases) == ("compact", 400, 39)
    assert (spec.max_new_tokens, spec.budget) == (192, Budget(1, 0.0))


def test_prompt_sizes_are_those_of_the_profile() -> None:
    assert with_prompt_size(replace(SPEC, prompt_size="bare"), ("bare", "compact", "full")).prompt_size == "bare"
    assert with_prompt_size(SPEC, ("bare", "compact", "full")).prompt_size == "compact"
    assert with_prompt_size(SPEC, ("tiny", "huge")).prompt_size == "tiny"
    with pytest.raises(InvalidArgument, match="bare") as raised:
        with_prompt_size(replace(SPEC, prompt_size="bare"), ("compact", "full"))
    assert raised.value.fields["field"] == "spec.prompt_size"
    assert raised.value.next_step == "Use compact or full."


def test_a_spec_survives_storage() -> None:
    spec = checked(replace(SPEC, training={"lora": {"r": 8}}, seed=-3))
    assert from_document(json.loads(json.dumps(to_document(spec)))) == spec


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("model_version_id", {"model_version_id": ""}),
        ("test_suite_version_id", {"test_suite_version_id": ""}),
        ("goals", {"goals": ()}),
        ("goals", {"goals": (Goal("beauty", 0.5),)}),
        ("goals", {"goals": (Goal("conforming_rate", 1.5),)}),
        ("goals", {"goals": (Goal("conforming_rate", math.nan),)}),
        ("goals", {"goals": (Goal("accepted_rate", 0.5), Goal("accepted_rate", 0.6))}),
        ("budget.max_minutes", {"budget": Budget(1, -1.0)}),
        ("budget.max_minutes", {"budget": Budget(1, math.nan)}),
        ("budget.max_minutes", {"budget": Budget(1, math.inf)}),
        ("budget.max_rounds", {"budget": Budget(-1)}),
        ("budget.max_rounds", {"budget": Budget(101)}),
        ("num_examples", {"num_examples": -320}),
        ("num_probe_cases", {"num_probe_cases": 49}),
        ("max_new_tokens", {"max_new_tokens": 10_000}),
        ("training.learning_rate", {"training": {"learning_rate": "NaN"}}),
        ("training.num_epochs", {"training": {"num_epochs": -1}}),
        ("training.lora.r", {"training": {"lora": {"r": -16}}}),
    ],
)
def test_a_wrong_field_is_named_with_what_to_do(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        checked(replace(SPEC, **changes))
    assert raised.value.fields["field"] == f"spec.{field}"
    assert raised.value.next_step


@pytest.mark.parametrize(
    "training", [{"method": "TRAINING_METHOD_DPO"}, {"trained_weights": "TRAINED_WEIGHTS_FROM_SCRATCH"}]
)
def test_training_that_a_loop_cannot_do_is_refused_before_anything_runs(training: dict[str, str]) -> None:
    with pytest.raises(Unimplemented):
        checked(replace(SPEC, training=training))


def test_the_training_settings_of_the_wire_pass_without_what_the_loop_sets_itself() -> None:
    training = training_job_pb2.TrainingJobSpec(
        model_version_id="other@1",
        dataset_version_id="other@2",
        seed=9,
        batch_size=8,
        learning_rate=0.25,
        lora=training_job_pb2.LoraConfig(r=8, target_modules=["q_proj"]),
    )
    spec = spec_from_proto(loop_pb2.LoopSpec(model_version_id="tiny", training=training))
    assert spec.training == {"batch_size": 8, "learning_rate": 0.25, "lora": {"r": 8, "target_modules": ["q_proj"]}}


def test_numbers_that_the_wire_alone_can_carry_are_refused() -> None:
    wire = loop_pb2.LoopSpec(
        model_version_id="tiny",
        test_suite_version_id="roo_xml/core",
        goals=[loop_pb2.Goal(metric="conforming_rate", minimum=0.8)],
        training=training_job_pb2.TrainingJobSpec(learning_rate=math.inf),
    )
    with pytest.raises(InvalidArgument, match="learning_rate"):
        checked(spec_from_proto(wire))
