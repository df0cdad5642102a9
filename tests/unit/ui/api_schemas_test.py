"""The OpenAPI document, made from the wire contracts."""

from typing import Any

import pytest
from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2, verdict_pb2
from drillyard.feedback.v1 import loop_pb2
from drillyard.registry.v1 import import_pb2, model_pb2
from drillyard.test_runner.v1 import test_run_pb2, transcript_pb2
from drillyard.trainer.v1 import checkpoint_pb2, preflight_pb2, training_job_pb2
from fastapi import FastAPI
from google.protobuf.json_format import MessageToDict, ParseDict
from pydantic import ValidationError

from ui.gateway.app import _api
from ui.gateway.errors import PROBLEM_TYPE
from ui.openai import routes as openai_routes
from ui.shared.rpc import body_of, nested
from ui.shared.schemas import example_of, schema_of

KINDS = (
    model_pb2.ListModelVersionsResponse,
    import_pb2.GetImportResponse,
    test_run_pb2.GetTestRunResponse,
    transcript_pb2.ListTranscriptsResponse,
    evaluation_pb2.GetEvaluationResponse,
    verdict_pb2.ListVerdictsResponse,
    comparison_pb2.CompareEvaluationsResponse,
    training_job_pb2.GetTrainingJobResponse,
    preflight_pb2.PreflightTrainingJobResponse,
    checkpoint_pb2.ListCurvePointsResponse,
    loop_pb2.GetLoopResponse,
)


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_a_document_of_its_message(kind: Any) -> None:
    example = example_of(kind.DESCRIPTOR)
    assert ParseDict(example, kind()).ByteSize() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_answered_has_the_form_that_the_schema_says(kind: Any) -> None:
    message = ParseDict(example_of(kind.DESCRIPTOR), kind())
    document = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    _check(document, schema_of(kind.DESCRIPTOR), kind.__name__)


def test_a_body_takes_every_field_of_its_message_and_those_of_its_spec_beside_them() -> None:
    spec = {field.name for field in test_run_pb2.TestRunSpec.DESCRIPTOR.fields}
    body = body_of(test_run_pb2.CreateTestRunRequest.DESCRIPTOR)
    assert set(body.model_fields) == {"request_id", *spec}
    sent = body.model_validate({"request_id": "r", "seed": 3, "sampling": {"top_k": 2}, "endpoint": None})
    assert nested(test_run_pb2.CreateTestRunRequest.DESCRIPTOR, sent) == {
        "request_id": "r",
        "spec": {"seed": 3, "sampling": {"top_k": 2}},
    }
    with pytest.raises(ValidationError, match="temprature"):
        body.model_validate({"sampling": {"temprature": 1}})


def _check(value: Any, schema: dict[str, Any], place: str) -> None:
    types: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
    }
    assert isinstance(value, types[schema["type"]]), place
    for name, inner in value.items() if isinstance(value, dict) and "properties" in schema else ():
        _check(inner, schema["properties"][name], f"{place}.{name}")
    for inner in value if isinstance(value, list) else ():
        _check(inner, schema["items"], f"{place}[]")
    if "enum" in schema:
        assert value in schema["enum"], place


def test_every_operation_declares_how_it_refuses() -> None:
    app = FastAPI()
    app.include_router(_api(), prefix="/api/v1")
    app.include_router(openai_routes.router, prefix="/v1")
    for path, verbs in app.openapi()["paths"].items():
        for verb, operation in verbs.items():
            kind = "application/json" if path.startswith("/v1/") else PROBLEM_TYPE
            assert list(operation["responses"]["default"]["content"]) == [kind], (verb, path)
            assert "422" not in operation["responses"], (verb, path)
            is_job = path.startswith("/api/") and path.endswith("/events")
            is_stream = is_job or path.endswith(("/v1/completions", "/v1/chat/completions", "/v1/messages"))
            assert ("text/event-stream" in operation["responses"]["200"].get("content", {})) is is_stream, path
