"""What a client of OpenAI's routes is told of errors."""

from __future__ import annotations

from fastapi.exceptions import RequestValidationError

from services.chassis.errors import InvalidArgument
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
