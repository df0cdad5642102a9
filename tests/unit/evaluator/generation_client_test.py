"""Models that grade, asked through the test runner: what they are asked, and what of their answers is borne."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc.aio
import pytest
from drillyard.test_runner.v1 import test_runner_service_pb2_grpc as rpc
from drillyard.test_runner.v1 import transcript_pb2

from services.chassis.channel import open_channel
from services.chassis.errors import Busy, DatabaseAway, InvalidArgument, ServiceError, Unavailable
from services.chassis.status import to_status
from services.evaluator.clients.generation import GenerationClient
from services.evaluator.domain.evaluation import GradeMissing, ModelGrader

SCHEMA = {"type": "object"}
URL = "http://127.0.0.1:8080/v1"
Reply = Sequence[transcript_pb2.GenerateResponse] | grpc.StatusCode | ServiceError


def piece(text: str = "", **fields: object) -> transcript_pb2.GenerateResponse:
    return transcript_pb2.GenerateResponse(text_delta=text, **fields)


def broken(detail: str) -> transcript_pb2.GenerateResponse:
    return piece(finish_reason=transcript_pb2.FINISH_REASON_BACKEND_FAULT, detail=detail)


class Generating(rpc.TestRunnerServiceServicer):
    """Answers each call with the next of `answers`: pieces, or a status that ends it."""

    def __init__(self, answers: Sequence[Reply]) -> None:
        self.asked: list[transcript_pb2.GenerateRequest] = []
        self._answers = iter(answers)

    async def Generate(  # type: ignore[override]
        self, request: transcript_pb2.GenerateRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> AsyncIterator[transcript_pb2.GenerateResponse]:
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "The endpoint does not take the key.")
        if isinstance(answer, ServiceError):
            status = to_status(answer)
            await context.abort(status.code, status.message, status.trailing_metadata)
        for one in answer:
            yield one


@asynccontextmanager
async def asking(
    *answers: Reply,
) -> AsyncIterator[tuple[GenerationClient, Generating]]:
    server, servicer = grpc.aio.server(), Generating(answers)
    rpc.add_TestRunnerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = open_channel(f"127.0.0.1:{port}")
    try:
        yield GenerationClient(channel, timeout_seconds=10), servicer
    finally:
        await channel.close()
        await server.stop(None)


async def test_an_endpoint_is_asked_for_an_object_of_the_schema() -> None:
    async with asking([piece("{"), piece("}")]) as (client, servicer):
        model = client.open(ModelGrader(f"{URL}/", "m", "judge"))
        assert await model.ask("the rules", "the data", SCHEMA) == "{}"
    [request] = servicer.asked
    assert [(one.role, one.content) for one in request.messages] == [("system", "the rules"), ("user", "the data")]
    assert (request.endpoint.base_url, request.endpoint.model, request.endpoint.api_key_secret) == (URL, "m", "judge")
    assert json.loads(request.endpoint.extra_body)["response_format"]["json_schema"]["schema"] == SCHEMA
    assert request.sampling.temperature == 0


async def test_a_model_of_the_registry_is_asked_by_its_version() -> None:
    async with asking([piece("{}")]) as (client, servicer):
        await client.open(ModelGrader("", "judge@3")).ask("", "x", SCHEMA)
    [request] = servicer.asked
    assert (request.model_version_id, request.HasField("endpoint")) == ("judge@3", False)


async def test_a_server_that_takes_no_schema_is_asked_without_one_from_then_on() -> None:
    async with asking([broken("status 400.")], [piece("hello")], [piece("hello")]) as (client, servicer):
        model = client.open(ModelGrader(URL, "m"))
        assert [await model.ask("", "x", SCHEMA), await model.ask("", "x", SCHEMA)] == ["hello", "hello"]
    assert [bool(request.endpoint.extra_body) for request in servicer.asked] == [True, False, False]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ([broken("The endpoint answers with status 500.")], "gave no answer: The endpoint answers with status 500"),
        ([piece(finish_reason=transcript_pb2.FINISH_REASON_CONTEXT_OVERFLOW, detail="Too long.")], "Too long"),
        ([piece("x" * 200_000), piece("x" * 200_000)], "too much text"),
        (grpc.StatusCode.FAILED_PRECONDITION, "does not take the key"),
        (Unavailable("The backend broke: it was killed.", "Try again.", fault="backend"), "it was killed"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "."),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "did not answer within"),
    ],
)
async def test_what_is_no_answer_says_why(answer: Reply, sentence: str) -> None:
    async with asking(answer, answer) as (client, _):
        with pytest.raises(GradeMissing, match=sentence):
            await client.open(ModelGrader(URL, "m")).ask("", "x", SCHEMA)


@pytest.mark.parametrize("away", [grpc.StatusCode.UNAVAILABLE, DatabaseAway("It is away."), Busy("All are busy.")])
async def test_a_test_runner_that_is_away_or_busy_for_a_moment_costs_no_score(away: Reply) -> None:
    async with asking(away, away, [piece("{}")]) as (client, servicer):
        assert await client.open(ModelGrader(URL, "m")).ask("", "x", SCHEMA) == "{}"
    assert all(request.endpoint.extra_body for request in servicer.asked)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://a/v1", "127.0.0.1:80", "http://", "http://me:pw@a/v1", "http://a?x=1", "http://["],
)
async def test_only_addresses_of_web_servers_are_graders(url: str) -> None:
    async with asking() as (client, _):
        with pytest.raises(InvalidArgument) as caught:
            client.open(ModelGrader(url, "m"))
    assert caught.value.fields["field"] == "model_grader.base_url"
