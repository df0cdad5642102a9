"""Answering one conversation, and rendering one prompt."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from drillyard.test_runner.v1 import transcript_pb2

from services.chassis.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ServiceError,
    Unavailable,
)
from services.chassis.telemetry import Telemetry
from services.chassis.wire import check
from services.protocols import turn as protocol
from services.protocols.profile import get_profile
from services.protocols.session import Session
from services.test_runner.backends.model_pool import WorkerLimits
from services.test_runner.backends.transformers_worker import TransformersWorkerBackend
from services.test_runner.backends.worker_process import WorkerTimeouts
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.generation import GenerationOrder, parse_tools
from services.test_runner.domain.transcript import FinishReason, Message, ToolCall
from services.test_runner.ports.generation import Answer, Delta, Prompt, Rendered, Workload
from services.test_runner.telemetry import TestRunnerTelemetry
from services.test_runner.usecases.generation import GenerationUseCases
from services.test_runner.usecases.rendering import RenderingUseCases, RenderOrder
from tests.fakes import generation_worker
from tests.unit import run_specs as specs
from tests.unit.test_runner.bench import CASES, FakePolicy, FakeRegistry

ROO_XML = get_profile("roo_xml")
HELLO = (Message("user", "hello"),)
ORDER = GenerationOrder(model_version_id="tiny", messages=HELLO, sampling=specs.sampling())
TOOL = '{"type": "function", "function": {"name": "read"}}'


class Workers:
    """Use cases on fake worker processes; `model` is how the worker behaves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, "steady"
        self.backend = TransformersWorkerBackend(
            place=self._place,
            telemetry=TestRunnerTelemetry(Telemetry()),
            limits=WorkerLimits(timeouts=WorkerTimeouts(cancel_seconds=0.3)),
            command=(sys.executable, str(Path(generation_worker.__file__))),
        )
        registry = FakeRegistry(CASES)
        self.generation = GenerationUseCases(
            registry=registry, backend=self.backend, policy=FakePolicy(), note_tokens=lambda _num: None
        )
        self.rendering = RenderingUseCases(registry=registry, renderer=self.backend, served=self, policy=FakePolicy())

    async def render(self, endpoint: Endpoint, prompt: Prompt) -> Rendered:
        return Rendered(f"{endpoint.model} reads {prompt.messages[-1].content}", (1, 2), ())

    async def _place(self, uri: str) -> Path:
        place = self.folder / self.model
        place.mkdir(exist_ok=True)
        return place

    async def pieces(self, order: GenerationOrder) -> list[Delta | Answer]:
        return [piece async for piece in self.generation.generate(order)]

    def pids(self) -> list[int]:
        return [int(path.name.removeprefix("started-")) for path in (self.folder / self.model).glob("started-*")]

    def num_started(self) -> int:
        return len(self.pids())

    def living(self) -> list[int]:
        return [pid for pid in self.pids() if psutil.pid_exists(pid)]


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Workers]:
    made = Workers(tmp_path)
    yield made
    await made.backend.close()


async def test_an_answer_comes_in_pieces_and_ends_with_its_facts(workers: Workers) -> None:
    *pieces, last = await workers.pieces(ORDER)
    assert [piece.text for piece in pieces] == ["one ", "two"]
    assert isinstance(last, Answer)
    assert (last.text, last.finish_reason, last.num_prompt_tokens, last.num_generated_tokens) == (
        "",
        FinishReason.STOP,
        10,
        2,
    )


async def test_each_token_is_told_once_with_its_log_probs(workers: Workers) -> None:
    pieces = await workers.pieces(replace(ORDER, num_top_log_probs=1))
    tokens = [token for piece in pieces for token in piece.tokens]
    assert [(token.token, token.token_id, token.log_prob, token.top) for token in tokens] == [
        ("one ", 1, -0.5, (("x", -0.5),)),
        ("two", 2, -0.5, (("x", -0.5),)),
    ]


async def test_the_prompts_own_tokens_come_before_the_answers(workers: Workers) -> None:
    order = replace(ORDER, messages=(), prompt="ab", log_probs=True, echo=True)
    (last,) = await workers.pieces(order)
    assert last.text == "ab with seed 0"
    assert [(token.token, token.log_prob) for token in last.tokens] == [
        ("a", None),
        ("b", -2.0),
        ("one ", -0.5),
        ("two", -0.5),
    ]


async def test_one_worker_serves_one_call_after_the_other(workers: Workers) -> None:
    await workers.pieces(ORDER)
    await workers.pieces(ORDER)
    await workers.rendering.render(RenderOrder("tiny", HELLO))
    assert workers.num_started() == 1


async def test_a_caller_that_goes_away_leaves_no_work_behind(workers: Workers) -> None:
    workers.model = "silent"
    async with aclosing(workers.generation.generate(replace(ORDER, messages=HELLO))) as pieces:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(pieces)
    assert not workers.living()


async def test_a_worker_that_stops_when_it_is_told_serves_the_next_call(workers: Workers) -> None:
    workers.model = "stops"
    for _ in range(2):
        async with aclosing(workers.generation.generate(ORDER)) as pieces:
            assert (await anext(pieces)).text == "one "
    assert workers.num_started() == 1


async def test_a_worker_that_dies_is_told_as_such(workers: Workers) -> None:
    workers.model = "dies-always"
    with pytest.raises(Unavailable, match="killed") as error:
        await workers.pieces(ORDER)
    assert error.value.fields["fault"] == "backend"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("model_version_id", {"model_version_id": ""}),
        ("messages", {"messages": ()}),
        ("messages", {"prompt": "x"}),
        ("messages[0].role", {"messages": (Message("robot", "x"),)}),
        ("tools", {"messages": (), "prompt": "x", "tools": ({},)}),
        ("echo", {"echo": True}),
        ("stop", {"stop": ("",)}),
        ("stop", {"stop": ("x",) * 17}),
        ("endpoint.base_url", {"endpoint": specs.endpoint("ftp://h", "m")}),
    ],
)
async def test_an_order_that_cannot_be_answered_is_refused_naming_the_field(
    workers: Workers, field: str, change: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await workers.pieces(replace(ORDER, **change))
    assert caught.value.fields["field"] == field
    assert not list(workers.folder.iterdir())


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("model_version_id", {"model_version_id": "x" * 201}),
        ("num_top_log_probs", {"num_top_log_probs": 21}),
        ("sampling.min_p", {"sampling": {"min_p": 2.0}}),
    ],
)
def test_a_value_out_of_bounds_does_not_reach_the_use_case(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(transcript_pb2.GenerateRequest(**values))
    assert caught.value.fields["field"] == field


async def test_an_endpoint_that_is_not_allowed_is_not_asked(workers: Workers) -> None:
    with pytest.raises(PermissionDenied):
        await workers.pieces(replace(ORDER, endpoint=specs.endpoint("http://forbidden/v1", "m")))


@pytest.mark.parametrize("text", ["", "7", "[]", "{}", '{"function": 7}', '{"function": {"name": 7}}', "[" * 9999])
def test_a_tool_that_is_none_is_refused_naming_its_place(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_tools([TOOL, text])
    assert caught.value.fields["field"] == "tools[1]"


URLS = (
    "file:///etc/passwd",
    "http://user:pass@host/v1",
    "http://host\\@evil/v1",
    "http://host/v1?x=1",
    "http://host/v1#x",
    "http://2130706433/v1",
    "http://0177.0.0.1/v1",
    "http://host:99999/v1",
    "http://[::1/v1",
    "http://ho st/v1",
    "http://host/%2e%2e/v1",
    "//host/v1",
    "http://" + "a" * 600,
    "",
)


@pytest.mark.parametrize("url", URLS)
def test_urls_that_parsers_could_read_in_two_ways_are_refused(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        specs.endpoint(url, "m").check("spec.")
    assert caught.value.fields["field"] == "spec.endpoint.base_url"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/v1", "https://h.example/v1/", "http://[::1]:11434/v1", "http://h"]
)
def test_plain_urls_are_taken(url: str) -> None:
    specs.endpoint(url, "m").check()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("model", {"model": ""}),
        ("api_key_secret", {"api_key_secret": "../etc"}),
        ("extra_body", {"extra_body": "[1]"}),
        ("extra_body", {"extra_body": '{"messages": []}'}),
        ("extra_body", {"extra_body": "[" * 9999}),
        ("stop", {"stop": ("",)}),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused_naming_the_field(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        replace(specs.endpoint("http://h/v1", "m"), **change).check()
    assert caught.value.fields["field"] == f"endpoint.{field}"


async def test_calls_in_the_text_come_as_calls_when_that_is_asked_for() -> None:
    text = 'See. <tool_call>{"name": "read", "arguments": {"at": "x"}}</tool_call>'
    order = replace(ORDER, tools=parse_tools([TOOL]), read_calls=True)
    answer = Answer("generate", text, FinishReason.STOP)
    streamed = [Delta("generate", piece) for piece in text]
    pieces = [piece async for piece in _answering(*streamed, answer).generate(order)]
    last = pieces[-1]
    assert "".join(piece.text for piece in pieces) == "See."
    assert isinstance(last, Answer)
    assert last.calls == (ToolCall("", "read", '{"at": "x"}'),)
    plain = [piece async for piece in _answering(*streamed, answer).generate(replace(order, read_calls=False))]
    assert "".join(piece.text for piece in plain) == text


@pytest.mark.parametrize(("num_read", "num_noted"), [(9, 7), (2, 2)])
async def test_tokens_are_noted_also_of_an_answer_that_is_left_before_its_end(num_read: int, num_noted: int) -> None:
    events = (*(Delta("generate", "ab") for _ in range(4)), Answer("generate", "", FinishReason.STOP, tuple(range(7))))
    noted: list[int] = []
    async with aclosing(_answering(*events, note_tokens=noted.append).generate(ORDER)) as pieces:
        for _ in range(min(num_read, len(events))):
            await anext(pieces)
    assert noted == [num_noted]


def _answering(*events: Delta | Answer, note_tokens: Callable[[int], None] = lambda _num: None) -> GenerationUseCases:
    class _Backend:
        async def generate(self, workload: Workload) -> AsyncGenerator[Delta | Answer]:
            for event in events:
                yield event

    return GenerationUseCases(
        registry=FakeRegistry(CASES), backend=_Backend(), policy=FakePolicy(), note_tokens=note_tokens
    )


async def test_a_conversation_is_shown_as_the_model_reads_it(workers: Workers) -> None:
    there = RenderOrder(messages=HELLO, endpoint=specs.endpoint("http://model.test/v1", "small"))
    assert (await workers.rendering.render(there)).rendered.text == "small reads hello"
    with pytest.raises(PermissionDenied):
        await workers.rendering.render(replace(there, endpoint=specs.endpoint("http://forbidden/v1", "small")))
    shown = await workers.rendering.render(RenderOrder("tiny", HELLO, parse_tools([TOOL])))
    assert (shown.rendered.text, shown.rendered.token_ids, shown.rendered.tokens) == ("hello|read", (1, 2), ("a", "b"))


async def test_the_opening_of_a_case_is_shown(workers: Workers) -> None:
    order = RenderOrder("tiny", test_suite_version_id="roo_xml/core", case_id=CASES[7].case_id)
    shown = await workers.rendering.render(order)
    assert [message.role for message in shown.messages] == ["system", "user"]
    assert shown.rendered.text == "|".join(message.content for message in shown.messages)


async def test_the_client_replies_to_the_answers_to_a_case_and_no_model_is_needed_for_that(workers: Workers) -> None:
    opening = RenderOrder(test_suite_version_id="roo_xml/core", case_id=CASES[7].case_id, prompt_size="full")
    opened = await workers.rendering.render(opening)
    assert ([message.role for message in opened.messages], opened.stop) == (["system", "user"], "")
    useless = Message("assistant", "no call at all")
    shown = await workers.rendering.render(replace(opening, answers=(useless, useless)))
    session = Session(ROO_XML, CASES[7], "full")
    for _ in range(2):
        if session.stop is None:
            session.answer(ROO_XML.read_answer(useless.content))
    assert [message.to_chat() for message in shown.messages] == session.messages
    assert (shown.stop, shown.rendered.text) == (session.stop, "")


async def test_native_calls_are_answered_as_in_a_run(workers: Workers) -> None:
    call = ToolCall("c-1", "read_file", '{"path": "x"}')
    opening = RenderOrder(test_suite_version_id="roo_xml/core", case_id=CASES[7].case_id)
    shown = await workers.rendering.render(replace(opening, answers=(Message("assistant", "", (call,)),)))
    session = Session(ROO_XML, CASES[7], "compact")
    session.answer(protocol.Answer("", (protocol.ToolCall(call.name, call.arguments),)))
    assert [message.to_chat() for message in shown.messages] == session.messages


@pytest.mark.parametrize(
    ("error", "order"),
    [
        (InvalidArgument, RenderOrder("tiny")),
        (InvalidArgument, RenderOrder("tiny", HELLO, answers=HELLO)),
        (
            InvalidArgument,
            RenderOrder("", (), (), "roo_xml/core", CASES[0].case_id, answers=HELLO),
        ),
        (InvalidArgument, RenderOrder("", HELLO)),
        (InvalidArgument, RenderOrder("tiny", HELLO, test_suite_version_id="roo_xml/core", case_id="x")),
        (InvalidArgument, RenderOrder("tiny", (Message("user", "refuse"),))),
        (InvalidArgument, RenderOrder("tiny", test_suite_version_id="roo_xml/core", prompt_size="huge")),
        (NotFound, RenderOrder("tiny", test_suite_version_id="roo_xml/core", case_id="unheard-of")),
        (NotFound, RenderOrder("unheard-of", HELLO)),
    ],
)
async def test_what_cannot_be_shown_is_refused(workers: Workers, error: type[ServiceError], order: RenderOrder) -> None:
    with pytest.raises(error):
        await workers.rendering.render(order)
