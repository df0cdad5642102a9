"""Errors in OpenAI's shape, for the routes under `/v1`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.chassis.errors import FailedPrecondition, QuotaExceeded, ResourceExhausted, ServiceError
from ui.gateway import errors as gateway_errors
from ui.gateway.errors import STATUS_OF, retry_headers, sentence_of, service_error_response, status_of
from ui.gateway.middleware.bodies import JsonRoute

MESSAGES_PATH = "/v1/messages"
_INVALID = "invalid_request_error"
# By status what Anthropic's clients are told that an error is.
_ANTHROPIC_OF = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_SERVER_ERROR = 500
# Clients take 429 for "too much at once, try again"; 409 and 507 mean nothing to them.
_STATUS_OF = STATUS_OF | {
    ResourceExhausted: HTTPStatus.TOO_MANY_REQUESTS,
    FailedPrecondition: HTTPStatus.BAD_REQUEST,
}
_NAME_OF = {
    "sampling.max_new_tokens": "max_tokens",
    "json_schema": "response_format",
    "spec.model_version_id": "model",
    "spec.dataset_version_id": "training_file",
    "spec.validation_dataset_version_id": "validation_file",
    "spec.output_model_id": "suffix",
    "spec.num_epochs": "n_epochs",
    "spec.learning_rate": "learning_rate_multiplier",
    "spec.grpo.reward_weights": "grader",
    **{f"spec.{name}": name.rpartition(".")[2] for name in ("batch_size", "seed", "dpo.beta")},
}
# Where a field stands goes without saying.
_PARTS = ("body", "query", "path", "header")
# What OpenAI says of a field that it does not know, or misses.
_CODE_OF = {"extra_forbidden": "unknown_parameter", "missing": "missing_required_parameter"}


class OpenAIError(Exception):
    """A request that cannot be answered, with what OpenAI's clients expect to be told."""

    def __init__(self, message: str, *, status: int = 400, code: str = "", param: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param

    @property
    def body(self) -> dict[str, Any]:
        """The document that tells it."""
        kind = _INVALID if self.status < _SERVER_ERROR else "server_error"
        facts = {"message": self.message, "type": kind, "param": self.param or None, "code": self.code or None}
        return {"error": facts}


def anthropic_body(error: OpenAIError) -> dict[str, Any]:
    """Return the document that tells an error to clients of Anthropic's routes."""
    kind = _ANTHROPIC_OF.get(error.status, _INVALID if error.status < _SERVER_ERROR else "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error in OpenAI's shape.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"error": {"type": "object", "required": ["message", "type", "param", "code"]}},
                    "required": ["error"],
                }
            }
        },
    }
}


ANTHROPIC_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error in Anthropic's shape.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "type": {"const": "error"},
                        "error": {"type": "object", "required": ["type", "message"]},
                    },
                    "required": ["type", "error"],
                }
            }
        },
    }
}


class OpenAIRoute(JsonRoute):
    """A route that answers every error in OpenAI's shape."""

    def told(self, error: OpenAIError) -> dict[str, Any]:
        """Return the document that tells an error."""
        return error.body

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await answer(request)
            except (OpenAIError, ServiceError, RequestValidationError, HTTPException) as error:
                facts = told_error(error)
                return JSONResponse(self.told(facts), status_code=facts.status, headers=_headers_of(error))

        return answered


class AnthropicRoute(OpenAIRoute):
    """A route that answers every error in Anthropic's shape."""

    def told(self, error: OpenAIError) -> dict[str, Any]:
        """Return the document that tells an error."""
        return anthropic_body(error)


def _headers_of(error: Exception) -> dict[str, str]:
    return {**retry_headers(error), **(getattr(error, "headers", None) or {})}


def refusal(error: ServiceError, path: str) -> Response:
    """Return an error from before any route was reached, in the shape that clients of the path expect."""
    if not path.startswith("/v1/"):
        return service_error_response(error)
    facts = told_error(error)
    return JSONResponse(_body_at(path, facts), facts.status, headers=retry_headers(error))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Return a path or a method that there is not, in the shape that clients of the path expect."""
    if not request.url.path.startswith("/v1/"):
        return await gateway_errors.on_http_error(request, error)
    facts = told_error(error)
    return JSONResponse(_body_at(request.url.path, facts), facts.status, headers=_headers_of(error))


def _body_at(path: str, facts: OpenAIError) -> dict[str, Any]:
    is_anthropic = path == MESSAGES_PATH or path.startswith(f"{MESSAGES_PATH}/")
    return anthropic_body(facts) if is_anthropic else facts.body


def told_error(error: Exception) -> OpenAIError:
    """Return an error of the services, or of reading a request, as a client is told it."""
    if isinstance(error, OpenAIError):
        return error
    if isinstance(error, ServiceError):
        return _service_error(error)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return OpenAIError("The body is no JSON.", code="invalid_value")
        place = ".".join(str(part) for part in first["loc"] if part not in _PARTS)
        return OpenAIError(sentence_of(error), param=place, code=_CODE_OF.get(first["type"], "invalid_value"))
    status = error.status_code if isinstance(error, HTTPException) else _SERVER_ERROR
    detail = str(getattr(error, "detail", "The gateway met an unexpected error"))
    return OpenAIError(f"{detail.rstrip('.')}.", status=status)


def _service_error(error: ServiceError) -> OpenAIError:
    """Return it with the name that the client gave the field."""
    field = error.fields.get("field", "")
    name = _NAME_OF.get(field, "")
    text = str(error).replace(field, name) if name else str(error)
    code = "insufficient_quota" if isinstance(error, QuotaExceeded) else error.code.lower()
    return OpenAIError(text, status=status_of(error, _STATUS_OF), code=code, param=name)
