"""Models that grade, asked through the test runner: only it generates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import grpc.aio
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.errors import Busy, DeadlineExceeded, InvalidArgument, ServiceError, Unavailable
from services.chassis.waiting import patiently
from services.evaluator.domain.evaluation import GradeMissing, ModelGrader

_MAX_ANSWER_TOKENS = 1024
_MAX_ANSWER_CHARACTERS = 256 * 1024
_FAULTS = frozenset(
    {
        transcript_pb2.FINISH_REASON_BACKEND_FAULT,
        transcript_pb2.FINISH_REASON_CONTEXT_OVERFLOW,
        transcript_pb2.FINISH_REASON_TEMPLATE_FAULT,
    }
)


class GenerationClient:
    """Answers the port `ChatModels` from a test-runner service, which knows endpoints and their keys."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    def open(self, grader: ModelGrader) -> GradingModel:
        """Return the model that a grader names.

        Raises:
            InvalidArgument: Its address is not one of a web server.
        """
        _check(grader)
        return GradingModel(self._stub, grader, timeout_seconds=self._timeout_seconds)


class GradingModel:
    """One model, at an endpoint or in the registry; its answers are of a bounded length and time."""

    def __init__(
        self,
        stub: test_runner_service_pb2_grpc.TestRunnerServiceAsyncStub,
        grader: ModelGrader,
        *,
        timeout_seconds: float,
    ) -> None:
        self._stub = stub
        self._grader = grader
        self._timeout_seconds = timeout_seconds
        self._takes_schema = bool(grader.base_url)

    async def ask(self, system: str, user: str, schema: Mapping[str, object]) -> str:
        """Return the text of the answer, of a bounded length; waits for a test runner that is away or busy.

        Raises:
            GradeMissing: There is none.
        """
        try:
            return await self._answer(system, user, schema if self._takes_schema else None)
        except GradeMissing:
            if not self._takes_schema:
                raise
        # Not every server knows schemas, and those that don't say so each in their own way.
        text = await self._answer(system, user, None)
        self._takes_schema = False
        return text

    async def _answer(self, system: str, user: str, schema: Mapping[str, object] | None) -> str:
        request = self._request(system, user, schema)
        return await patiently(lambda: self._generate(request), "the test runner")

    async def _generate(self, request: transcript_pb2.GenerateRequest) -> str:
        parts: list[str] = []
        length = 0
        try:
            async for piece in self._stub.Generate(request, timeout=self._timeout_seconds):
                length += len(piece.text_delta)
                if length > _MAX_ANSWER_CHARACTERS:
                    raise GradeMissing("The grader answers with too much text: use a model that follows a schema.")
                if piece.finish_reason in _FAULTS:
                    raise GradeMissing(f"The grader gave no answer: {piece.detail or 'its server broke off.'}")
                parts.append(piece.text_delta)
        except DeadlineExceeded as error:
            raise GradeMissing(
                f"The grader did not answer within {self._timeout_seconds:g} s: start its server, or evaluate again "
                "without a grader."
            ) from error
        except ServiceError as error:
            # A model or an endpoint that breaks may do so for ever: that costs a score, and is not waited for.
            if isinstance(error, Busy | Unavailable) and "fault" not in error.fields:
                raise
            raise GradeMissing(f"{error.problem} {error.next_step}") from error
        return "".join(parts)

    def _request(self, system: str, user: str, schema: Mapping[str, object] | None) -> transcript_pb2.GenerateRequest:
        grader = self._grader
        request = transcript_pb2.GenerateRequest(
            messages=[
                transcript_pb2.Message(role="system", content=system),
                transcript_pb2.Message(role="user", content=user),
            ],
            sampling=test_run_pb2.Sampling(max_new_tokens=_MAX_ANSWER_TOKENS),
        )
        if not grader.base_url:
            request.model_version_id = grader.model
            return request
        request.endpoint.CopyFrom(
            test_run_pb2.Endpoint(
                base_url=grader.base_url.rstrip("/"), model=grader.model, api_key_secret=grader.api_key_secret
            )
        )
        if schema is not None:
            form = {"name": "grade", "strict": True, "schema": dict(schema)}
            body = {"response_format": {"type": "json_schema", "json_schema": form}}
            request.endpoint.extra_body = json.dumps(body)
        return request


def _check(grader: ModelGrader) -> None:
    try:
        url = urlsplit(grader.base_url)
        is_plain = url.scheme in ("http", "https") and url.hostname and "@" not in url.netloc
        is_usable = is_plain and not (url.query or url.fragment)
    except ValueError:
        is_usable = False
    if grader.base_url and not is_usable:
        raise InvalidArgument(
            "The grader's base_url is not the address of a web server.",
            "Give one such as http://127.0.0.1:8080/v1, without a user name; keys are secrets of the test runner.",
            field="model_grader.base_url",
        )
