from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from drillyard.feedback.v1 import loop_goal_pb2, loop_pb2
from drillyard.registry.v1 import export_pb2
from drillyard.trainer.v1 import training_spec_pb2, weights_pb2

from services.chassis import wire
from services.chassis.errors import InvalidArgument, Unimplemented
from services.chassis.wire import from_document, to_document
from services.feedback.convert.jobs import spec_from_proto
from services.feedback.domain.goals import Goal
from services.feedback.domain.spec import Budget, LoopSpec, check, prompt_size_of

WIRE = loop_pb2.LoopSpec(
    model_version_id="tiny",
    test_suite_version_id="roo_xml/core",
    goals=[loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.8)],
)
SPEC = spec_from_proto(WIRE)


def test_what_is_unset_gets_its_default() -> None:
    spec = SPEC
    assert (spec.num_examples, spec.num_probe_cases) == (400, 39)
    assert (spec.max_new_tokens, spec.budget, spec.seed) == (192, Budget(1, 0.0, 2), 1)
    assert spec.goals[0].confidence == 0.95


def test_prompt_sizes_are_those_of_the_profile() -> None:
    assert prompt_size_of("bare", ("bare", "compact", "full")) == "bare"
    assert prompt_size_of("", ("bare", "compact", "full")) == "compact"
    assert prompt_size_of("", ("tiny", "huge")) == "tiny"
    with pytest.raises(InvalidArgument, match="bare") as raised:
        prompt_size_of("bare", ("compact", "full"))
    assert raised.value.fields["field"] == "spec.prompt_size"
    assert raised.value.next_step == "Use compact or full."


def test_a_spec_survives_storage() -> None:
    spec = replace(SPEC, training={"lora": {"r": 8}}, seed=3)
    document = json.loads(json.dumps(to_document(spec)))
    assert from_document(LoopSpec, document) == spec
    assert "num_examples" not in document, "a default is stored"


@pytest.mark.parametrize(
    "goals",
    [(), (Goal("beauty", 0.5),), (Goal("accepted_rate", 0.5), Goal("accepted_rate", 0.6))],
)
def test_wrong_goals_are_named_with_what_to_do(goals: tuple[Goal, ...]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        check(replace(SPEC, goals=goals))
    assert raised.value.fields["field"] == "spec.goals"
    assert raised.value.next_step


def test_goals_are_set_on_a_form_that_every_version_has() -> None:
    form = export_pb2.ExportSpec(model_version_id="x", form=export_pb2.EXPORT_FORM_GGUF, number_type="Q4_K_M")
    spec = spec_from_proto(loop_pb2.LoopSpec(goal_form=form))
    assert spec.goal_form == {"form": "EXPORT_FORM_GGUF", "number_type": "Q4_K_M"}
    assert spec.shipped_as == "gguf:Q4_K_M" and not SPEC.shipped_as
    check(replace(SPEC, goal_form=spec.goal_form))
    for form in ({"form": "EXPORT_FORM_MERGED"}, {"number_type": "Q8_0"}):
        with pytest.raises(InvalidArgument, match="each version"):
            check(replace(SPEC, goal_form=form))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("goals[1].minimum", {"goals": [loop_goal_pb2.Goal(metric="conforming_rate", minimum=1.5)]}),
        ("goals[1].minimum", {"goals": [loop_goal_pb2.Goal(metric="conforming_rate", minimum=math.nan)]}),
        ("budget.max_minutes", {"budget": loop_goal_pb2.Budget(max_minutes=-1)}),
        ("budget.max_minutes", {"budget": loop_goal_pb2.Budget(max_minutes=math.nan)}),
        ("budget.max_minutes", {"budget": loop_goal_pb2.Budget(max_minutes=math.inf)}),
        ("budget.max_rounds", {"budget": loop_goal_pb2.Budget(max_rounds=-1)}),
        ("budget.max_rounds", {"budget": loop_goal_pb2.Budget(max_rounds=101)}),
        ("num_examples", {"num_examples": -320}),
        ("num_probe_cases", {"num_probe_cases": 49}),
        ("max_new_tokens", {"max_new_tokens": 10_000}),
        ("training.learning_rate", {"training": training_spec_pb2.TrainingJobSpec(learning_rate=math.inf)}),
        ("training.num_epochs", {"training": training_spec_pb2.TrainingJobSpec(num_epochs=-1)}),
        ("training.method", {"training": training_spec_pb2.TrainingJobSpec(method=99)}),  # type: ignore[arg-type]
        ("training.lora.r", {"training": {"lora": weights_pb2.LoraConfig(r=-16)}}),
    ],
)
def test_a_wrong_field_is_named_with_what_to_do(field: str, changes: dict[str, Any]) -> None:
    request = loop_pb2.CreateLoopRequest(spec=WIRE)
    request.spec.MergeFrom(loop_pb2.LoopSpec(**changes))
    with pytest.raises(InvalidArgument) as raised:
        wire.check(request)
    assert raised.value.fields["field"] == f"spec.{field}"
    assert raised.value.next_step


@pytest.mark.parametrize(
    "training", [{"fork": {"training_job_id": "train-1"}}, {"trained_weights": "TRAINED_WEIGHTS_FROM_SCRATCH"}]
)
def test_training_that_a_loop_cannot_do_is_refused_before_anything_runs(training: dict[str, str]) -> None:
    with pytest.raises(Unimplemented):
        check(replace(SPEC, training=training))


def test_the_training_settings_of_the_wire_pass_without_what_the_loop_sets_itself() -> None:
    training = training_spec_pb2.TrainingJobSpec(
        model_version_id="other@1",
        dataset_version_id="other@2",
        seed=9,
        batch_size=8,
        learning_rate=0.25,
        lora=weights_pb2.LoraConfig(r=8, target_modules=["q_proj"]),
    )
    spec = spec_from_proto(loop_pb2.LoopSpec(model_version_id="tiny", training=training))
    assert spec.training == {"batch_size": 8, "learning_rate": 0.25, "lora": {"r": 8, "target_modules": ["q_proj"]}}
