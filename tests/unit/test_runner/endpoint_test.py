"""The backend that asks served models, against a server that does everything wrong on demand."""

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, PermissionDenied
from services.chassis.machine.secrets import Secrets
from services.chassis.wire import from_document, to_document
from services.test_runner.backends.openai_endpoint.backend import OpenAiEndpointBackend
from services.test_runner.backends.openai_endpoint.policy import OperatorPolicy
from services.test_runner.domain.endpoint import Endpoint, ToolMode, TryOutcome
from services.test_runner.domain.transcript import FinishReason, Message
from services.test_runner.ports import generation as ports
from services.test_runner.ports.generation import Answer, Delta, Prepared, Prompt, Workload
from tests.fakes import endpoint as fake
from tests.fakes.endpoint import FakeEndpoint, begin_stream, chunk, refuses, running, says, streams, writes
from tests.machine import PATIENCE_SECONDS
from tests.unit import run_specs as specs

TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


@asynccontextmanager
async def backend_of(folder: Path | None = None, **choices: Any) -> AsyncIterator[OpenAiEndpointBackend]:
    hosts = choices.pop("hosts", ())
    backend = OpenAiEndpointBackend(OperatorPolicy(hosts, Secrets("TEST_RUNNER_", folder, {})), **choices)
    try:
        yield backend
    finally:
        await backend.close()


def workload(server: FakeEndpoint, count: int = 1, **choices: Any) -> Workload:
    endpoint = specs.endpoint(server.base_url, fake.MODEL, **choices.pop("endpoint", {}))
    seconds, tools = choices.pop("timeout_seconds", 5.0), choices.pop("tools", ())
    prompts = tuple(
        Prompt(f"p{number}", (Message("user", f"task {number}"),), number, tools, timeout_seconds=seconds)
        for number in range(count)
    )
    return Workload(None, None, choices.pop("prompts", prompts), specs.sampling(), endpoint=endpoint, **choices)


async def events_of(server: FakeEndpoint, count: int = 1, **choices: Any) -> list[ports.GenerationEvent]:
    async with backend_of(choices.pop("folder", None), max_tries=choices.pop("max_tries", 3)) as backend:
        return [event async for event in backend.generate(workload(server, count, **choices))]


async def answers_of(server: FakeEndpoint, count: int = 1, **choices: Any) -> list[Answer]:
    return [event for event in await events_of(server, count, **choices) if isinstance(event, Answer)]


async def answer_of(server: FakeEndpoint, **choices: Any) -> Answer:
    (answer,) = await answers_of(server, **choices)
    return answer


async def test_an_answer_is_put_together_from_its_chunks() -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 16}}
    async with running(says("Hello, 世界!", usage=usage)) as server:
        answer = await answer_of(server)
    assert (answer.text, answer.finish_reason) == ("Hello, 世界!", FinishReason.STOP)
    assert (answer.num_prompt_tokens, answer.num_generated_tokens, answer.num_cached_tokens) == (20, 5, 16)
    assert server.asked[0].body["messages"] == [{"role": "user", "content": "task 0"}]
    assert "authorization" not in server.asked[0].headers


async def test_the_token_limit_is_told_from_the_end_of_a_turn() -> None:
    async with running(says("cut", "length")) as server:
        assert (await answer_of(server)).finish_reason is FinishReason.LENGTH


async def test_functions_are_offered_and_their_calls_are_read() -> None:
    script = streams(
        chunk({"tool_calls": [{"index": 0, "id": "x", "function": {"name": "read", "arguments": '{"pa'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'th": "a"}'}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "y", "function": {"name": "list", "arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
    )
    async with running(script) as server:
        answer = await answer_of(server, tools=(TOOL,))
    assert [(call.name, call.arguments) for call in answer.calls] == [("read", '{"path": "a"}'), ("list", "{}")]
    assert answer.finish_reason is FinishReason.STOP
    assert server.asked[0].body["tools"] == [TOOL]


async def test_functions_stay_in_the_prompt_where_the_endpoint_is_asked_so() -> None:
    async with running(says("x")) as server:
        await answer_of(server, tools=(TOOL,), endpoint={"tool_mode": ToolMode.PROMPT})
    assert "tools" not in server.asked[0].body


async def test_settings_of_the_endpoint_go_into_the_request() -> None:
    settings = {"num_ctx": 4096, "stop": ("###",), "extra_body": '{"chat_template_kwargs": {"x": false}}'}
    async with running(says("x")) as server:
        await answer_of(server, endpoint=settings)
    body = server.asked[0].body
    assert body["options"] == {"num_ctx": 4096}
    assert body["stop"] == ["###"]
    assert body["chat_template_kwargs"] == {"x": False}
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0.0, 0, 192)


async def test_log_probs_are_asked_for_and_read() -> None:
    entry = {"id": 7, "token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.5}]}
    script = streams(chunk({"content": "a"}, "stop", logprobs={"content": [entry]}))
    async with running(script) as server:
        answer = await answer_of(server, log_probs=True, num_top_log_probs=2)
    (token,) = answer.tokens
    assert (token.token, token.token_id, token.log_prob, token.top) == ("a", 7, -0.5, (("b", -1.5),))
    assert answer.token_ids == (7,)
    assert (server.asked[0].body["logprobs"], server.asked[0].body["top_logprobs"]) == (True, 2)


async def test_a_text_is_continued_by_the_other_route() -> None:
    script = streams({"choices": [{"text": " world", "finish_reason": "stop"}]})
    async with running(script) as server:
        prompts = (Prompt("p", (), 0, text="hello"),)
        assert (await answer_of(server, prompts=prompts)).text == " world"
    assert (server.asked[0].path, server.asked[0].body["prompt"]) == ("/v1/completions", "hello")


async def test_pieces_are_told_as_they_come() -> None:
    async with running(says("Hello world")) as server:
        pieces = [event.text for event in await events_of(server, stream=True) if isinstance(event, Delta)]
    assert pieces == ["Hell", "o wo", "rld"]


async def test_no_more_requests_are_in_flight_than_the_endpoint_bears_over_all_runs() -> None:
    async def slow(request: fake.Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        await says("x")(request, writer)

    async with running(slow) as server, backend_of() as backend:
        load = workload(server, 6, endpoint={"max_concurrency": 2})

        async def run() -> int:
            return len([event async for event in backend.generate(load) if isinstance(event, Answer)])

        assert list(await asyncio.gather(run(), run())) == [6, 6]
    assert server.most_inside == 2


@pytest.mark.parametrize("status", [429, 500, 503, 408])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    async with running(refuses(status, "busy", "retry-after: 0\r\n"), says("done")) as server:
        assert (await answer_of(server)).text == "done"
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("num_refusals", "expected"),
    [
        (0, [TryOutcome.ANSWERED]),
        (2, [TryOutcome.RETRIED, TryOutcome.RETRIED, TryOutcome.ANSWERED]),
        (3, [TryOutcome.RETRIED, TryOutcome.RETRIED, TryOutcome.FAILED]),
    ],
)
async def test_each_try_is_told_with_what_came_of_it(num_refusals: int, expected: list[TryOutcome]) -> None:
    told: list[TryOutcome] = []
    scripts = [*[refuses(503, "busy") for _ in range(num_refusals)], says("there")]
    async with running(*scripts) as server, backend_of(max_tries=3, on_try=told.append) as backend:
        async for _ in backend.generate(workload(server)):
            pass
    assert told == expected


async def test_the_endpoint_may_say_when_it_is_to_be_asked_again() -> None:
    async with running(refuses(429, "busy", "retry-after: 30\r\n"), says("done")) as server:
        answer = await answer_of(server, timeout_seconds=0.5)
    assert answer.finish_reason is FinishReason.BACKEND_FAULT
    assert len(server.asked) == 1


async def test_an_endpoint_that_stays_busy_costs_the_case() -> None:
    async with running(refuses(503, "overloaded")) as server:
        answer = await answer_of(server, max_tries=2)
    assert answer.finish_reason is FinishReason.BACKEND_FAULT
    assert "503" in answer.detail and "overloaded" in answer.detail
    assert len(server.asked) == 2


def bytes_of_stream(content: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + content


COMPRESSED = gzip.compress(b"data: {}\n\n" * 1000)
GARBAGE = {
    "not JSON": writes(bytes_of_stream(b"data: <html>\n\n")),
    "not an object": writes(bytes_of_stream(b"data: [1, 2]\n\n")),
    "not UTF-8": writes(bytes_of_stream(b"data: \xff\xfe\n\n")),
    "deeply nested": writes(bytes_of_stream(b"data: " + b"[" * 100_000 + b"\n\n")),
    "a long number": writes(bytes_of_stream(b"data: " + b"9" * 10_000 + b"\n\n")),
    "a page": writes(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"),
    "nothing": writes(bytes_of_stream(b"")),
    "no HTTP": writes(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "compressed": writes(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + COMPRESSED),
    "a redirect": writes(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"),
    "cut off": streams(chunk({"content": "half"}), is_done=False),
    "an unknown end": streams(chunk({"content": "x"}, "content_filter")),
    "calls out of place": streams(chunk({"tool_calls": [{"index": 10**9}]}, "stop")),
    "an error on the way": streams(chunk({"content": "half"}), {"error": {"message": "out of memory"}}),
    "an endless body": fake.never_ends(b"data: " + json.dumps(chunk({"content": "x" * 4000})).encode() + b"\n\n"),
    "an endless line": fake.never_ends(b"x" * 65536),
    "silence": fake.hangs,
    "one byte now and then": fake.drips,
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_what_is_no_answer_costs_its_case_and_no_other(kind: str) -> None:
    async with running(GARBAGE[kind], says("fine")) as server, backend_of(max_tries=1) as backend:
        load = workload(server, 2, endpoint={"max_concurrency": 1}, timeout_seconds=1.0)
        found = [event async for event in backend.generate(load) if isinstance(event, Answer)]
    broken, fine = sorted(found, key=lambda answer: answer.key)
    assert (broken.finish_reason, broken.text) == (FinishReason.BACKEND_FAULT, "")
    assert broken.detail.endswith((".", "memory", "more")) and len(broken.detail) < 400
    assert (fine.finish_reason, fine.text) == (FinishReason.STOP, "fine")


@pytest.mark.parametrize(
    "delta",
    [
        {"content": 7},
        {"content": ["x"]},
        {"tool_calls": "x"},
        {"tool_calls": [7, {"index": 0, "function": "x"}]},
        "x",
        None,
        {"content": "\ud800"},
    ],
)
async def test_values_of_other_types_are_no_text(delta: object) -> None:
    async with running(streams({"choices": 7}, {"usage": [1]}, {"choices": [7]}, chunk(delta, "stop"))) as server:
        answer = await answer_of(server)
    assert answer.finish_reason is FinishReason.STOP
    answer.text.encode()


async def test_a_key_is_read_from_its_secret_and_sent(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text(f"{fake.KEY}\n")
    async with running(says("x"), needs_key=True) as server:
        assert (await answer_of(server, folder=tmp_path, endpoint={"api_key_secret": "lab"})).text == "x"


async def test_a_wrong_key_ends_the_run_at_once_and_names_the_secret_not_the_key(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("sk-wrong-0815")
    async with running(says("x"), needs_key=True) as server:
        with pytest.raises(FailedPrecondition, match="secret lab") as caught:
            await answer_of(server, folder=tmp_path, endpoint={"api_key_secret": "lab"})
    assert "sk-wrong" not in f"{caught.value} {caught.value.fields}"
    assert not server.asked


async def test_a_key_that_is_refused_later_ends_the_run_too(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("sk-wrong-0815")
    async with running(refuses(401, "Incorrect API key: sk-wrong-0815")) as server:
        with pytest.raises(FailedPrecondition, match="secret lab"):
            await answer_of(server, folder=tmp_path, endpoint={"api_key_secret": "lab"})


async def test_a_key_that_the_endpoint_repeats_is_not_passed_on(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("sk-wrong-0815")
    async with running(refuses(400, "bad request of sk-wrong-0815")) as server:
        answer = await answer_of(server, folder=tmp_path, endpoint={"api_key_secret": "lab"})
    assert "***" in answer.detail and "sk-wrong" not in answer.detail


async def test_a_secret_that_is_not_there_is_named() -> None:
    async with running(says("x")) as server:
        with pytest.raises(FailedPrecondition, match="TEST_RUNNER_SECRET_LAB_2"):
            await answer_of(server, endpoint={"api_key_secret": "lab-2"})
    assert not server.requests


async def test_a_model_that_the_endpoint_lacks_is_refused_with_those_it_has() -> None:
    routes = {"/v1/models": {"data": [{"id": "one"}, {"id": "two"}]}}
    async with running(says("x"), routes=routes) as server:
        with pytest.raises(FailedPrecondition, match="one, two"):
            await answer_of(server)


async def test_an_endpoint_that_lists_no_models_is_asked_all_the_same() -> None:
    async with running(says("x"), routes={}) as server:
        assert (await answer_of(server)).text == "x"


async def test_a_server_that_is_down_is_a_fault_of_the_backend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = FakeEndpoint([says("x")], base_url=f"http://127.0.0.1:{port}/v1")
    with pytest.raises(ports.BackendFaultError, match="No server answers"):
        await answer_of(server)


async def test_a_host_that_the_operator_does_not_list_is_not_asked() -> None:
    async with running(says("x")) as server, backend_of(hosts=("models.example",)) as backend:
        with pytest.raises(PermissionDenied, match="The host"):
            [event async for event in backend.generate(workload(server))]
    assert not server.requests


async def test_a_metadata_service_is_never_asked() -> None:
    server = FakeEndpoint([says("x")], base_url="http://169.254.169.254/v1")
    with pytest.raises(PermissionDenied, match="TEST_RUNNER_ENDPOINT_HOSTS"):
        await answer_of(server)


OVERFLOWS = {
    "llama.cpp": {"message": "the request exceeds", "type": "exceed_context_size_error", "n_prompt_tokens": 9000},
    "SGLang": {"message": "Input length (9000 tokens) exceeds the maximum allowed length (8192 tokens)."},
    "TGI": {"message": "`inputs` tokens + `max_new_tokens` must be <= 8192. Given: 9000 `inputs`"},
    "a proxy": {"message": "prompt is too long: 9000 tokens > 8192 maximum"},
    "vLLM": "This model's maximum context length is 4096 tokens. However, you requested 9192 (9000 in the messages)",
}


@pytest.mark.parametrize("kind", OVERFLOWS)
async def test_an_endpoint_that_says_that_the_prompt_is_too_long_is_understood(kind: str) -> None:
    async with running(refuses(400, OVERFLOWS[kind])) as server:
        answer = await answer_of(server)
    assert (answer.finish_reason, answer.num_prompt_tokens) == (FinishReason.CONTEXT_OVERFLOW, 9000)


async def test_a_prompt_that_is_known_to_be_too_long_costs_no_token() -> None:
    routes = {
        "/v1/models": {"data": [{"id": fake.MODEL, "owned_by": "llamacpp"}]},
        "/props": {"default_generation_settings": {"n_ctx": 300}, "chat_template": "T", "build_info": "b1"},
        "/apply-template": {"prompt": "text"},
        "/tokenize": lambda request: {"tokens": [0] * 120},
    }
    async with running(says("x"), routes=routes) as server:
        answer = await answer_of(server)
    assert (answer.finish_reason, answer.num_prompt_tokens) == (FinishReason.CONTEXT_OVERFLOW, 120)
    assert answer.detail == "The prompt has 120 tokens and 192 new ones were asked for; the endpoint holds 300."
    assert not server.asked


async def test_a_prompt_that_the_server_cut_to_its_context_is_told() -> None:
    async with running(says("x", usage={"prompt_tokens": 400, "completion_tokens": 1})) as server:
        answer = await answer_of(server, endpoint={"num_ctx": 512})
    assert (answer.finish_reason, answer.num_prompt_tokens) == (FinishReason.CONTEXT_OVERFLOW, 400)


async def test_what_the_server_says_of_itself_is_recorded() -> None:
    routes = {
        "/v1/models": {"data": [{"id": fake.MODEL, "owned_by": "llamacpp", "meta": {"n_params": 135}}]},
        "/props": {"default_generation_settings": {"n_ctx": 8192}, "chat_template": "T", "build_info": "b1"},
    }
    async with running(says("x"), routes=routes) as server:
        prepared = next(event for event in await events_of(server) if isinstance(event, Prepared))
    facts = prepared.environment.endpoint
    assert (facts["server"], facts["version"], facts["context"], facts["parameters"]) == (
        "llama.cpp",
        "b1",
        "8192",
        "135",
    )
    assert prepared.environment.chat_template_digest.startswith("sha256:")
    assert "openai" in prepared.environment.library_versions


async def test_leaving_the_stream_ends_all_requests() -> None:
    gone = asyncio.Event()

    async def waits(request: fake.Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer)
        try:
            while True:
                writer.write(b": waiting\n\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            gone.set()

    async with running(waits) as server, backend_of() as backend:
        async with aclosing(backend.generate(workload(server, 2))) as events:
            async for event in events:
                if isinstance(event, Prepared):
                    pass
                elif server.num_inside == 2 or getattr(event, "phase", "") == "generate":
                    break
        assert server.num_inside == 0 or await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)


def test_an_endpoint_is_the_same_after_it_was_stored() -> None:
    endpoint = Endpoint("http://h/v1", "m", "lab", ToolMode.NATIVE, 5, ("a", "b"), "{}", 7)
    assert from_document(Endpoint, json.loads(json.dumps(to_document(endpoint)))) == endpoint
    assert replace(endpoint, base_url="https://Host:8443/x/v1/").host == "host"
