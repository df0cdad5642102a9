"""The OpenAPI document, made from the wire contracts."""

from typing import Any

import pytest
from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2, verdict_pb2
from drillyard.feedback.v1 import loop_pb2
from drillyard.registry.v1 import import_pb2, model_pb2
from drillyard.test_runner.v1 import test_run_pb2, transcript_pb2
from drillyard.trainer.v1 import checkpoint_pb2, training_job_pb2
from google.protobuf.json_format import MessageToDict, ParseDict

from ui.evaluations import routes as evaluations
from ui.evaluations import verdict_routes as verdicts
from ui.shared.schemas import example_of, schema_of
from ui.test_runs import routes as test_runs
from ui.test_runs import transcript_routes as transcripts

BODIES: tuple[tuple[Any, Any, set[str]], ...] = (
    (test_runs.SamplingBody, test_run_pb2.Sampling, set()),
    (test_runs.EndpointBody, test_run_pb2.Endpoint, set()),
    (test_runs.TestRunBody, test_run_pb2.TestRunSpec, {"request_id"}),
    (evaluations.GraderBody, evaluation_pb2.ModelGrader, set()),
    (evaluations.EvaluationBody, evaluation_pb2.CreateEvaluationRequest, set()),
    (verdicts.JudgeBody, verdict_pb2.JudgeRequest, set()),
    (transcripts.PromptBody, transcript_pb2.RenderPromptRequest, set()),
    (transcripts.MessageBody, transcript_pb2.Message, set()),
    (transcripts.CallBody, transcript_pb2.ToolCall, set()),
)
KINDS = (
    model_pb2.ListModelVersionsResponse,
    import_pb2.GetImportResponse,
    test_run_pb2.GetTestRunResponse,
    transcript_pb2.ListTranscriptsResponse,
    evaluation_pb2.GetEvaluationResponse,
    verdict_pb2.ListVerdictsResponse,
    comparison_pb2.CompareEvaluationsResponse,
    training_job_pb2.GetTrainingJobResponse,
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


@pytest.mark.parametrize(("body", "kind", "own"), BODIES)
def test_a_body_takes_every_field_of_its_message(body: Any, kind: Any, own: set[str]) -> None:
    assert set(body.model_fields) - own == {field.name for field in kind.DESCRIPTOR.fields}


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
