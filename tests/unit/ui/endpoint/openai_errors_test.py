"""What a client of OpenAI's routes is told of errors."""

from __future__ import annotations

from pathlib import Path

from fastapi.exceptions import RequestValidationError
from starlette.testclient import TestClient

from services.chassis.errors import InvalidArgument
from services.chassis.telemetry import Telemetry
from ui.gateway.app import create_app
from ui.gateway.settings import GatewaySettings
from ui.openai.errors import told_error


def test_a_field_has_the_name_that_the_client_gave_it() -> None:
    problem = "sampling.max_new_tokens is 9000, which is out of range."
    told = told_error(InvalidArgument(problem, "Use 1 to 8192.", field="sampling.max_new_tokens"))
    assert told.body["error"]["param"] == "max_tokens"
    assert told.body["error"]["message"] == "max_tokens is 9000, which is out of range. Use 1 to 8192."


def test_an_error_without_a_field_is_told_as_it_is() -> None:
    told = told_error(InvalidArgument("The case is empty.", "Send another."))
    assert (told.message, told.param, told.code) == ("The case is empty. Send another.", "", "invalid_argument")


def test_a_body_that_is_no_json_is_not_a_field() -> None:
    told = told_error(
        RequestValidationError([{"type": "json_invalid", "loc": ("body", 1), "msg": "JSON decode error"}])
    )
    assert (told.message, told.param) == ("The body is no JSON.", "")


def test_a_path_that_no_route_reads_is_refused_in_openais_shape(tmp_path: Path) -> None:
    app = create_app(GatewaySettings(data_dir=tmp_path), Telemetry())
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        for path in ("/v1/files/a%0Ab", "/v1/files/a%0Ab/content", "/v1/nothing"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json"), path
            assert answer.json()["error"]["type"] == "invalid_request_error"
