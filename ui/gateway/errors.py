"""Errors of the services to HTTP: one table, one problem document."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from services.chassis.errors import (
    Aborted,
    AlreadyExists,
    Busy,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    ResourceExhausted,
    ServiceError,
    TooLarge,
    Unavailable,
    Unimplemented,
)

PROBLEM_TYPE = "application/problem+json"


class Unauthenticated(ServiceError):
    """Nobody knows who asks."""

    code = "UNAUTHENTICATED"


STATUS_OF: dict[type[ServiceError], HTTPStatus] = {
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    InvalidArgument: HTTPStatus.BAD_REQUEST,
    PermissionDenied: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    AlreadyExists: HTTPStatus.CONFLICT,
    FailedPrecondition: HTTPStatus.CONFLICT,
    Aborted: HTTPStatus.CONFLICT,
    ResourceExhausted: HTTPStatus.INSUFFICIENT_STORAGE,
    QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    Internal: HTTPStatus.INTERNAL_SERVER_ERROR,
    Unimplemented: HTTPStatus.NOT_IMPLEMENTED,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
}
_CODE_OF_STATUS = {
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
}
_SEE_PATHS = "The API's paths are listed at /docs."
_NEXT_STEP_OF = {408: "Send it again, faster.", 413: "Send less in one request.", 429: "Try again in 5 s."}
_log = structlog.get_logger()


class Problem(BaseModel):
    """Why a request was refused and what to do next."""

    code: str = Field(description="Name of the gRPC status.", examples=["NOT_FOUND"])
    problem: str = Field(description="What is wrong, one sentence.", examples=["There is no model version 'smolm2@1'."])
    next_step: str = Field(
        description="What to do next, one sentence.", examples=["List the models to see what is there."]
    )


PROBLEM_RESPONSE: dict[str, Any] = {
    "description": "A problem document.",
    "content": {PROBLEM_TYPE: {"schema": Problem.model_json_schema()}},
}


def status_of(error: ServiceError, table: Mapping[type[ServiceError], HTTPStatus] = STATUS_OF) -> HTTPStatus:
    """Return the HTTP status of an error; what is too large for a message is the client's to divide."""
    if isinstance(error, Busy):
        return HTTPStatus.TOO_MANY_REQUESTS
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if isinstance(error, TooLarge) else table[type(error)]


def retry_headers(error: Exception) -> dict[str, str]:
    """Return the header that says when to try again, for an error that passes by waiting."""
    return {"Retry-After": error.fields["retry_after_seconds"]} if isinstance(error, Busy) else {}


def problem_response(code: str, problem: str, next_step: str, status: int) -> JSONResponse:
    """Return the problem document as an HTTP response."""
    body = Problem(code=code, problem=problem, next_step=next_step).model_dump()
    return JSONResponse(body, status_code=status, media_type=PROBLEM_TYPE)


def service_error_response(error: ServiceError) -> JSONResponse:
    """Return the problem document of an error of a service, or of the gateway itself."""
    response = problem_response(error.code, error.problem, error.next_step, status_of(error))
    response.headers.update(retry_headers(error))
    return response


def install_error_responses(app: FastAPI) -> None:
    """Answer every error of the REST API with a problem document."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_wrong_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, _on_fault)


async def _on_service_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return service_error_response(error)


async def _on_wrong_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    next_step = f"See {request.url.path}'s entry at /docs."
    return problem_response("INVALID_ARGUMENT", sentence_of(error), next_step, 400)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Return the problem document of a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, "INVALID_ARGUMENT")
    problem = f"{request.method} {request.url.path[:200]}: {error.detail}."
    response = problem_response(code, problem, _NEXT_STEP_OF.get(error.status_code, _SEE_PATHS), error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _on_fault(_request: Request, error: Exception) -> JSONResponse:
    request_id = uuid.uuid4().hex
    _log.error("request_failed", request_id=request_id, exc_info=error)
    return problem_response(
        "INTERNAL",
        f"The gateway met an unexpected error (request {request_id}).",
        "Look for this request in the gateway's log.",
        500,
    )


def sentence_of(error: RequestValidationError) -> str:
    """Return what is wrong with the first fields of a request."""
    return f"{'; '.join(_wrong_field(entry) for entry in error.errors()[:5])}."


def _wrong_field(entry: Any) -> str:
    place = ".".join(str(part) for part in entry["loc"] if part not in ("body", "query", "path"))
    if not place and entry["type"] == "missing":
        return "The request has no content"
    return f"{place or 'body'}: {entry['msg']}"
