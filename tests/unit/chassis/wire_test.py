"""Messages against the rules at their fields, and on their way to domain classes, documents and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar

import pytest
from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2
from drillyard.feedback.v1 import feedback_service_pb2, loop_pb2
from drillyard.registry.v1 import model_pb2, registry_service_pb2
from drillyard.test_runner.v1 import test_runner_service_pb2
from drillyard.trainer.v1 import (
    attempt_pb2,
    checkpoint_pb2,
    method_pb2,
    trainer_service_pb2,
    training_job_pb2,
    training_spec_pb2,
    weights_pb2,
)
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidArgument
from services.chassis.wire import check, fields_of, from_document, from_message, to_document, to_message
from services.chassis.wire.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, checked_page_size, page_of, place_of
from services.trainer.domain.spec import TrainedWeights, TrainingJobSpec, TrainingMethod

_FILES = (
    evaluator_service_pb2,
    feedback_service_pb2,
    registry_service_pb2,
    test_runner_service_pb2,
    trainer_service_pb2,
)
REQUESTS = [
    GetMessageClass(method.input_type)
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def enum_places(message_type: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every enum in a message that one value can be set to."""
    places = []
    for field in message_type.DESCRIPTOR.fields:
        if field.message_type and not field.message_type.full_name.startswith("google.") and not field.is_repeated:
            places += enum_places(GetMessageClass(field.message_type), (*path, field.name))
        elif field.enum_type:
            places.append((*path, field.name))
    return places


ENUMS = [(request, place) for request in REQUESTS for place in enum_places(request)]


def spec_of(**values: Any) -> training_spec_pb2.TrainingJobSpec:
    return training_spec_pb2.TrainingJobSpec(model_version_id="tiny@1", dataset_version_id="drills@1", **values)


def create(**values: Any) -> training_job_pb2.CreateTrainingJobRequest:
    return training_job_pb2.CreateTrainingJobRequest(spec=spec_of(**values))


@pytest.mark.parametrize(("request_type", "place"), ENUMS, ids=lambda item: getattr(item, "__name__", str(item)))
def test_a_number_that_no_enum_value_has_is_refused_in_every_request(
    request_type: type[Message], place: tuple[str, ...]
) -> None:
    request = request_type()
    owner: Any = request
    for name in place[:-1]:
        owner = getattr(owner, name)
    setattr(owner, place[-1], 99)
    with pytest.raises(InvalidArgument, match=r"is 99, which is no .* of this release") as error:
        check(request, is_partial=True)
    assert error.value.fields["field"] == ".".join(place)


def test_the_requests_have_enums_that_the_test_above_looks_at() -> None:
    assert {(request.__name__, place[-1]) for request, place in ENUMS} >= {
        ("CreateTrainingJobRequest", "method"),
        ("CreateModelVersionRequest", "kind"),
        ("CreateTestRunRequest", "tool_mode"),
    }


@pytest.mark.parametrize("request_type", [item for item in REQUESTS if "page_size" in item.DESCRIPTOR.fields_by_name])
def test_every_list_has_the_page_sizes_of_the_contract(request_type: type[Message]) -> None:
    (field,) = [field for field in fields_of(request_type) if field.path == "page_size"]
    assert (field.default, field.minimum, field.maximum) == (DEFAULT_PAGE_SIZE, 1, MAX_PAGE_SIZE)


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"batch_size": 4097}, "spec.batch_size", "is 4097, which is not between 1 and 4096"),
        ({"learning_rate": math.nan}, "spec.learning_rate", "is nan"),
        ({"learning_rate": math.inf}, "spec.learning_rate", "is inf"),
        ({"seed": -1}, "spec.seed", "is -1, which is not at least 0"),
        ({"lora": weights_pb2.LoraConfig(r=1025)}, "spec.lora.r", "between 1 and 1024"),
        ({"model_version_id": ""}, "spec.model_version_id", "is not set"),
        ({"dataset_version_id": "x" * 201}, "spec.dataset_version_id", "too long"),
        ({"output_model_id": "a\nb"}, "spec.output_model_id", "not printable"),
    ],
)
def test_a_field_that_breaks_its_rules_is_named_with_them(values: dict[str, Any], field: str, words: str) -> None:
    request = create()
    request.spec.MergeFrom(training_spec_pb2.TrainingJobSpec(**values))
    for name, value in values.items():
        if isinstance(value, str):
            setattr(request.spec, name, value)
    with pytest.raises(InvalidArgument) as error:
        check(request)
    assert error.value.fields["field"] == field
    assert field in error.value.problem and words in error.value.problem and error.value.next_step


@pytest.mark.parametrize("time", [{"nanos": -1}, {"seconds": 2**62}])
def test_a_time_that_is_none_is_named(time: dict[str, int]) -> None:
    request = attempt_pb2.ReportAttemptRequest()
    request.checkpoints.add().create_time.MergeFrom(Timestamp(**time))
    with pytest.raises(InvalidArgument) as error:
        check(request)
    assert error.value.fields["field"] == "checkpoints[0].create_time"


@pytest.mark.parametrize("rate", [1.5, -0.1, math.nan])
def test_a_grader_takes_a_share_of_the_answers(rate: float) -> None:
    grader = evaluation_pb2.ModelGrader(sample_rate=rate)
    with pytest.raises(InvalidArgument, match=r"model_grader\.sample_rate"):
        check(evaluation_pb2.CreateEvaluationRequest(model_grader=grader))


def test_the_error_of_a_bound_tells_unit_and_default() -> None:
    with pytest.raises(InvalidArgument, match=r"between 1 and 4096 examples, or 0 for the default of 4\."):
        check(create(batch_size=-1))


def test_the_error_of_a_field_whose_nought_is_refused_says_to_leave_it_out() -> None:
    with pytest.raises(InvalidArgument, match=r"temperature is 0, .*") as error:
        check(create(grpo=method_pb2.GrpoConfig(temperature=0)))
    assert error.value.next_step == "Give a value between 0.01 and 10, or leave it out."


def test_a_sound_request_and_one_of_zeros_pass() -> None:
    check(create())
    check(create(batch_size=4096, lora=weights_pb2.LoraConfig(r=1)))
    check(checkpoint_pb2.ListCurvePointsRequest(page_size=1000))


def test_a_loop_leaves_out_of_its_training_what_it_fills_in_itself() -> None:
    request = loop_pb2.CreateLoopRequest()
    request.spec.training.batch_size = 4
    check(request.spec.training, is_partial=True)
    request.spec.training.lora.r = 5000
    with pytest.raises(InvalidArgument) as error:
        check(request, is_partial=True)
    assert error.value.fields["field"] == "spec.training.lora.r"


def test_unset_fields_become_the_defaults_of_the_contract() -> None:
    spec = from_message(TrainingJobSpec, spec_of())
    assert (spec.method, spec.trained_weights) == (TrainingMethod.SFT, TrainedWeights.LORA)
    assert (spec.batch_size, spec.learning_rate, spec.save_steps, spec.save_total_limit) == (4, 1e-3, 10, 2)
    assert (spec.lora.r, spec.lora.lora_alpha, spec.max_tokens_per_pack, spec.num_workers) == (16, 32, 6144, 1)


def test_a_message_survives_the_way_to_the_domain_and_back() -> None:
    lora = weights_pb2.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], use_dora=True)
    spec = from_message(TrainingJobSpec, spec_of(lora=lora, seed=7, method=method_pb2.TRAINING_METHOD_GRPO))
    message = to_message(spec, training_spec_pb2.TrainingJobSpec)
    assert (message.lora.r, list(message.lora.target_modules)) == (4, ["q_proj", "v_proj"])
    assert message.method == method_pb2.TRAINING_METHOD_GRPO
    assert from_message(TrainingJobSpec, message) == spec


class Method(StrEnum):
    SFT = "sft"


@dataclass(frozen=True)
class OlderSpec:
    """A spec of the release before `seed` was added."""

    MESSAGE: ClassVar = "drillyard.trainer.v1.training_spec_pb2.TrainingJobSpec"

    model_version_id: str
    batch_size: int
    method: Method


def test_a_class_that_lacks_a_value_of_the_enum_refuses_it_by_its_field() -> None:
    with pytest.raises(InvalidArgument, match="field method is 2"):
        from_message(OlderSpec, spec_of(method=method_pb2.TRAINING_METHOD_DPO))


def test_a_document_holds_what_is_not_the_default() -> None:
    spec = from_message(TrainingJobSpec, spec_of(batch_size=4, seed=3, lora=weights_pb2.LoraConfig(r=4)))
    document = to_document(spec)
    assert document == {
        "model_version_id": "tiny@1",
        "dataset_version_id": "drills@1",
        "seed": 3,
        "lora": {"r": 4},
    }
    assert from_document(TrainingJobSpec, document) == spec
    assert from_document(TrainingJobSpec, {**document, "of_a_newer_release": 1}) == spec


def test_a_field_that_a_release_adds_leaves_older_documents_as_they_are() -> None:
    message = spec_of(batch_size=4)
    older = to_document(from_message(OlderSpec, message))
    newer = to_document(replace(from_message(TrainingJobSpec, message), dataset_version_id=""))
    assert older == newer


def test_fields_tell_what_forms_and_options_need() -> None:
    fields = {field.path: field for field in fields_of(training_spec_pb2.TrainingJobSpec)}
    rank, method = fields["lora.r"], fields["method"]
    assert (rank.name, rank.kind, rank.default, rank.minimum, rank.maximum) == ("r", "int", 16, 1, 1024)
    assert (rank.label, rank.help) == ("Rank", "Rank.")
    assert fields["max_tokens_per_pack"].unit == "tokens"
    assert (fields["learning_rate"].kind, fields["learning_rate"].default) == ("float", 1e-3)
    assert method.default == "TRAINING_METHOD_SFT"
    assert method.choices[0] == ("TRAINING_METHOD_SFT", "Supervised fine-tuning")
    assert fields["lora.target_modules"].is_repeated
    kinds = {field.path: field for field in fields_of(model_pb2.CreateModelVersionRequest)}["kind"].choices
    assert ("MODEL_VERSION_KIND_BASE", "base") in kinds


def test_pages_are_cut_and_go_on_behind_their_last_entry() -> None:
    page, token = page_of([(1, "a"), (2, "b"), (3, "c")], 2, lambda item: item)
    assert (page, place_of(token, (0, ""))) == ([(1, "a"), (2, "b")], (2, "b"))
    assert page_of([1, 2], 2, lambda item: item) == ([1, 2], "")
    assert (checked_page_size(0), checked_page_size(1000), place_of("", 9)) == (50, 1000, 9)


@pytest.mark.parametrize("token", ["x", "eHg=", "LTE=", "WzEsMl0=", "bnVsbA==", "\u00e9", "W" * 10_000])
def test_a_token_that_no_list_gave_out_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match="not one that this list gave out"):
        place_of(token, 0)


@pytest.mark.parametrize("page_size", [-1, 1001])
def test_a_page_size_out_of_bounds_is_refused(page_size: int) -> None:
    with pytest.raises(InvalidArgument, match="between 1 and 1000"):
        checked_page_size(page_size)
