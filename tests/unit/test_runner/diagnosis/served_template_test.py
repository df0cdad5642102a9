"""What servers of each kind show of their rendering, held against the model's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument, ServiceError
from services.chassis.machine.secrets import Secrets
from services.lm.doctor.diagnosis import Conversation, Rendering
from services.test_runner.backends.openai_endpoint.policy import OperatorPolicy
from services.test_runner.backends.served_template import ServedTemplateProbe
from services.test_runner.domain.diagnosis import RenderedConversation, Room
from services.test_runner.domain.endpoint import Endpoint, ToolMode
from services.test_runner.domain.transcript import Message
from services.test_runner.ports.diagnosis import Comparison
from services.test_runner.ports.generation import Prompt, Rendered
from tests.unit import run_specs as specs

TOOL = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object", "properties": {}}}}
CONVERSATION = Conversation(
    "an answer",
    ({"role": "user", "content": "Read it."}, {"role": "assistant", "content": "No."}),
    (TOOL,),
)
OWN = RenderedConversation(CONVERSATION, Rendering("an answer", "<s>[user] Read it. [answer]", (1, 5, 6, 7)))
ENDPOINT = specs.endpoint("http://model.test/v1", "small")
Route = Callable[[dict[str, Any]], Any]


class FakeServer:
    """Answers by path; a route gives the JSON of its answer, or a response."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self.asked: list[tuple[str, dict[str, Any], str]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content or b"{}")
        self.asked.append((request.url.path, body, request.headers.get("authorization", "")))
        route = self.routes.get(request.url.path)
        if route is None:
            return httpx2.Response(404, json={"error": "no such route"})
        answer = route(body)
        return answer if isinstance(answer, httpx2.Response) else httpx2.Response(200, json=answer)


async def compared(
    server: Callable[[httpx2.Request], httpx2.Response], endpoint: Endpoint = ENDPOINT, room: Room = Room(96)
) -> Comparison:
    policy = OperatorPolicy(("model.test",), Secrets("TEST_RUNNER_", None, {"TEST_RUNNER_SECRET_LAB": "key of lab"}))
    probe = ServedTemplateProbe(policy, transport=httpx2.MockTransport(server))
    return await probe.compare(endpoint, [OWN], room)


def listed(kind: str, **more: Any) -> Route:
    return lambda _: {"data": [{"id": "small", "owned_by": kind, **more}]}


def llama_cpp(**changes: Any) -> FakeServer:
    shown: dict[str, Any] = {"text": "[user] Read it. [answer]", "ids": [1, 5, 6, 7], "n_ctx": 4096} | changes
    return FakeServer(
        {
            "/v1/models": listed("llamacpp"),
            "/props": lambda _: {"default_generation_settings": {"n_ctx": shown["n_ctx"]}},
            "/apply-template": lambda _: {"prompt": shown["text"]},
            "/tokenize": lambda _: {"tokens": shown["ids"]},
        }
    )


def vllm(ids: list[int], longest: int = 4096) -> FakeServer:
    models = listed("vllm", max_model_len=longest)
    return FakeServer({"/v1/models": models, "/tokenize": lambda _: {"tokens": ids, "count": len(ids)}})


def counting(usage: Any) -> FakeServer:
    return FakeServer({"/v1/chat/completions": lambda _: {"choices": [], "usage": usage}})


def codes(comparison: Comparison) -> list[str]:
    return [one.code for one in comparison.findings]


@pytest.mark.parametrize(
    "server", [llama_cpp(), vllm([1, 5, 6, 7]), counting({"prompt_tokens": 4})], ids=["llama.cpp", "vllm", "any"]
)
async def test_a_server_that_renders_the_same_gives_no_finding(server: FakeServer) -> None:
    assert await compared(server) == Comparison((), ("endpoint", "served_context", "served_rendering"))


async def test_the_prompt_goes_to_the_server_with_its_functions_and_without_the_answer() -> None:
    server = llama_cpp()
    await compared(server)
    body = next(body for path, body, _ in server.asked if path == "/apply-template")
    assert (body["messages"], body["tools"]) == ([{"role": "user", "content": "Read it."}], [TOOL])


async def test_a_server_that_drops_the_functions_is_named() -> None:
    server = llama_cpp(text="[user] Read it. [answer]")
    server.routes = {**server.routes, "/props": lambda _: {"chat_template_caps": {"supports_tools": False}}}
    assert codes(await compared(server)) == ["served_tools_dropped"]
    prompt = replace(ENDPOINT, tool_mode=ToolMode.PROMPT)
    without = RenderedConversation(replace(CONVERSATION, tools=()), OWN.rendering)
    probe = ServedTemplateProbe(
        OperatorPolicy((), Secrets("TEST_RUNNER_", None, {})), transport=httpx2.MockTransport(server)
    )
    assert codes(await probe.compare(prompt, [without], Room(96))) == []


async def test_another_text_is_shown_beside_ours() -> None:
    comparison = await compared(llama_cpp(text="[user] Read it.\n[answer]", ids=[1, 5, 6, 8]))
    (finding,) = comparison.findings
    assert (finding.code, finding.severity) == ("served_text_differs", "error")
    assert "Read it. [answer]" in finding.evidence
    assert "Read it.\\n[answer]" in finding.evidence


@pytest.mark.parametrize("server", [llama_cpp(ids=[1, 1, 5, 6, 7]), vllm([1, 1, 5, 6, 7])], ids=["llama.cpp", "vllm"])
async def test_other_tokens_of_the_same_text_are_named_from_where_they_differ(server: FakeServer) -> None:
    (finding,) = (await compared(server)).findings
    assert (finding.code, finding.severity) == ("served_tokens_differ", "error")
    assert "from token 1 on" in finding.problem


@pytest.mark.parametrize(("count", "severity"), [(9, "error"), (5, "warning")])
async def test_another_number_of_tokens_is_found_where_a_server_only_counts(count: int, severity: str) -> None:
    (finding,) = (await compared(counting({"prompt_tokens": count}))).findings
    assert (finding.code, finding.severity) == ("served_token_count_differs", severity)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "4"}, [4]])
async def test_a_server_that_does_not_count_is_only_noted(usage: Any) -> None:
    (finding,) = (await compared(counting(usage))).findings
    assert (finding.code, finding.severity) == ("served_count_unknown", "note")


async def test_ollama_is_asked_for_its_context_and_told_the_one_that_is_wanted() -> None:
    shown = {"template": "{{ .Prompt }}", "parameters": 'stop "<|im_end|>"\nnum_ctx 2048'}
    server = FakeServer(
        {"/v1/models": listed("library"), "/api/show": lambda _: shown, **counting({"prompt_tokens": 4}).routes}
    )
    assert codes(await compared(server, room=Room(3000))) == ["served_context_too_short"]
    wanted = specs.endpoint("http://model.test/v1", "small", num_ctx=8192)
    assert codes(await compared(server, wanted, Room(3000))) == []
    assert server.asked[-1][1]["options"] == {"num_ctx": 8192}


@pytest.mark.parametrize("server", [llama_cpp(n_ctx=64), vllm([1, 5, 6, 7], 64)], ids=["llama.cpp", "vllm"])
async def test_a_server_with_too_short_a_context_is_found(server: FakeServer) -> None:
    assert codes(await compared(server)) == ["served_context_too_short"]


async def test_a_server_is_not_blamed_for_what_the_model_itself_cannot_hold() -> None:
    assert codes(await compared(llama_cpp(n_ctx=64), room=Room(96, num_context_tokens=64))) == []
    assert codes(await compared(llama_cpp(n_ctx=64), room=Room(96, num_context_tokens=80))) == [
        "served_context_too_short"
    ]


async def test_a_prompt_that_does_not_fit_is_not_sent() -> None:
    server = counting({"prompt_tokens": 4})
    await compared(server, room=Room(96, num_context_tokens=64))
    assert all(path != "/v1/chat/completions" for path, _, _ in server.asked)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_a_finding_with_what_to_do(status: int) -> None:
    server = FakeServer({"/v1/models": lambda _: httpx2.Response(status, json={"error": "no"})})
    (finding,) = (await compared(server)).findings
    assert finding.code == "endpoint_refuses"
    assert "key" in finding.problem


async def test_a_model_that_the_server_does_not_have_is_a_finding_that_lists_those_it_has() -> None:
    server = FakeServer({"/v1/models": lambda _: {"data": [{"id": "large"}]}})
    (finding,) = (await compared(server)).findings
    assert finding.code == "endpoint_refuses"
    assert "large" in finding.fix + finding.problem


async def test_the_key_of_the_named_secret_is_sent() -> None:
    server = llama_cpp()
    await compared(server, specs.endpoint("http://model.test/v1", "small", api_key_secret="lab"))
    assert {key for _, _, key in server.asked} == {"Bearer key of lab"}


async def test_a_refusal_of_the_messages_is_shown() -> None:
    server = FakeServer({"/v1/chat/completions": lambda _: httpx2.Response(400, json={"error": "tools not supported"})})
    (finding,) = (await compared(server)).findings
    assert finding.code == "endpoint_refuses"
    assert "tools not supported" in finding.evidence


def _refused_connection(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("refused")


async def test_a_server_that_is_away_is_a_finding() -> None:
    assert codes(await compared(_refused_connection)) == ["endpoint_unreachable"]


async def test_a_server_that_goes_away_in_between_is_a_finding() -> None:
    def going(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/apply-template":
            raise httpx2.ReadError("reset")
        return server(request)

    server = llama_cpp()
    assert codes(await compared(going)) == ["endpoint_unreachable"]


@pytest.mark.parametrize("answer", [b"not json", b"[1]", b"[" * 100_000, b"\xff\xfe"])
async def test_nonsense_is_a_finding_and_not_a_crash(answer: bytes) -> None:
    assert codes(await compared(lambda _: httpx2.Response(200, content=answer))) == ["served_count_unknown"]


async def test_a_redirect_is_not_followed() -> None:
    server = FakeServer(
        {"/v1/chat/completions": lambda _: httpx2.Response(302, headers={"location": "http://inside.test/secret"})}
    )
    assert codes(await compared(server)) == ["endpoint_refuses"]
    assert all(path != "/secret" for path, _, _ in server.asked)


def documented_vllm(**changes: Any) -> FakeServer:
    """vLLM as its HTTP API is documented: LoRA modules are models beside their base; prompts are encoded on request."""
    words = {1: "<s>", 5: "[user] ", 6: "Read it.", 7: " [answer]"}

    def tokenize(body: dict[str, Any]) -> dict[str, Any]:
        assert body["add_generation_prompt"] is True and body["tools"] == [TOOL]
        assert [message["content"] for message in body["messages"]] == ["Read it."]
        return {"count": 4, "max_model_len": 4096, "tokens": list(words), "token_strs": None}

    base = {"id": "base", "owned_by": "vllm", "root": "owner/base", "parent": None, "max_model_len": 4096}
    module = {"id": "small", "owned_by": "vllm", "root": "/models/lora", "parent": "base", "max_model_len": None}
    routes: dict[str, Route] = {
        "/v1/models": lambda _: {"object": "list", "data": [base, module]},
        "/version": lambda _: {"version": "0.33.0"},
        "/tokenize": tokenize,
        "/detokenize": lambda body: {"prompt": "".join(words[token] for token in body["tokens"])},
    }
    return FakeServer(routes | changes)


async def rendered(server: FakeServer) -> Rendered:
    probe = ServedTemplateProbe(
        OperatorPolicy(("model.test",), Secrets("TEST_RUNNER_", None, {})), transport=httpx2.MockTransport(server)
    )
    prompt = Prompt("render", tuple(map(Message.from_chat, CONVERSATION.prompt)), 0, (TOOL,))
    return await probe.render(ENDPOINT, prompt)


async def test_a_lora_module_of_vllm_shows_the_tokens_that_it_reads_and_their_text() -> None:
    server = documented_vllm()
    assert await rendered(server) == Rendered("<s>[user] Read it. [answer]", (1, 5, 6, 7), ())
    assert {body["model"] for path, body, _ in server.asked if path in ("/tokenize", "/detokenize")} == {"small"}
    assert await rendered(llama_cpp()) == Rendered("[user] Read it. [answer]", (1, 5, 6, 7), ())


@pytest.mark.parametrize(
    ("server", "error", "words"),
    [
        (counting({"prompt_tokens": 4}), FailedPrecondition, "does not tell the tokens"),
        (documented_vllm(**{"/v1/models": listed("vllm", id="other")}), FailedPrecondition, "other"),
        (
            documented_vllm(**{"/tokenize": lambda _: httpx2.Response(400, json={"error": "no such role"})}),
            InvalidArgument,
            "no such role",
        ),
    ],
)
async def test_a_server_that_cannot_show_its_prompts_is_told_by_what_it_lacks(
    server: FakeServer, error: type[ServiceError], words: str
) -> None:
    with pytest.raises(error, match=words):
        await rendered(server)
