"""Answers of recorded sessions become cases of private suites."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.feedback.domain.item import ChatMessage, ItemFilter
from services.feedback.domain.item_spec import Chat, SessionSuiteSpec, SessionTurn
from services.feedback.domain.work import Registration, SuiteVersion
from services.feedback.store.chats import SqlChatStore
from services.feedback.usecases.sessions import SessionSuiteUseCases
from services.protocols.cases import Case, case_from_document
from services.protocols.profile import get_profile
from services.protocols.turn import Answer, ToolCall
from tests.unit.feedback_items.world import ItemBench, bench_in, said, spec_of

TOOL = json.dumps(
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "description": "Reads a file.",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        },
    }
)
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEF"


def called(path: str, call_id: str = "call_1") -> ChatMessage:
    function = {"name": "read_file", "arguments": json.dumps({"path": path})}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }


def talk(*messages: ChatMessage, tools: tuple[str, ...] = (TOOL,)) -> Chat:
    before: tuple[ChatMessage, ...] = (
        {"role": "system", "content": "You are Zoo Code."},
        {"role": "user", "content": "Hello."},
        said("Hello, what shall I do?"),
        {"role": "user", "content": "Read the notes, then say what they ask for."},
    )
    return Chat("tiny@1", (*before, *messages), tools, session_id="zoo")


class FakeRegistry:
    """Keeps what is registered, once per request id."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self.registrations: dict[str, Registration] = {}
        self.readers: asyncio.Barrier | None = None

    async def register_suite(self, request_id: str, registration: Registration) -> str:
        self.registrations.setdefault(request_id, registration)
        names = [each.name for each in self.registrations.values()]
        place = list(self.registrations).index(request_id)
        return f"{registration.name}@{names[: place + 1].count(registration.name)}"

    async def resolve_suite(self, name: str) -> SuiteVersion:
        if not self._files(name):
            raise NotFound(f"There is no suite {name}.", "List them.")
        version = SuiteVersion(f"{name}@{len(self._files(name))}", name.partition("/")[0], 1)
        if readers := self.readers:
            await readers.wait()
            self.readers = None
        return version

    async def list_cases(self, version_id: str) -> list[Case]:
        name, _, number = version_id.partition("@")
        path = await self._artifacts.local_path(self._files(name)[int(number) - 1].uri)
        return [case_from_document(json.loads(line)) for line in path.read_text().splitlines()]

    def _files(self, name: str) -> list[Artifact]:
        return [each.artifact for each in self.registrations.values() if each.name == name]


class Bench:
    """The use cases, with the session "zoo" of three answers."""

    def __init__(self, items: ItemBench) -> None:
        self.items, self.registry = items, FakeRegistry(items.artifacts)
        self.store: SqlChatStore = items.chats._store  # type: ignore[assignment]
        registry: Any = self.registry
        self.usecases = SessionSuiteUseCases(self.store, items.usecases, items.artifacts, registry)

    async def record(self) -> None:
        result = {"role": "tool", "tool_call_id": "call_1", "content": f"TODO: ask ann, her key is {SECRET}"}
        answers = {
            "chatcmpl-1": talk(called("notes.md")),
            "chatcmpl-2": talk(called("notes.md"), result, called("wrong.md", "call_2")),
            "chatcmpl-3": talk(said("A greeting"), tools=()),
        }
        for name, chat in answers.items():
            await self.items.chats.keep_chat(name, chat)

    async def cases(self, suite_id: str) -> list[Case]:
        return await self.registry.list_cases((await self.registry.resolve_suite(suite_id)).test_suite_version_id)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async for items in bench_in(tmp_path):
        made = Bench(items)
        await made.record()
        yield made


def _call(arguments: str) -> ChatMessage:
    return {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "fly", "arguments": arguments}}]}


def spec(*turns: SessionTurn) -> SessionSuiteSpec:
    return SessionSuiteSpec("private", turns, "rouge_l", 0.5, "ann")


async def test_nothing_is_made_of_a_session_before_a_person_keeps_it(bench: Bench) -> None:
    with pytest.raises(FailedPrecondition, match="Nobody has kept the session zoo"):
        await bench.usecases.create("zoo", spec(SessionTurn("chatcmpl-1", called("notes.md"))))
    with pytest.raises(NotFound, match="no session"):
        await bench.usecases.create("other", spec())
    await bench.items.chats.keep("zoo")
    with pytest.raises(FailedPrecondition, match="has a correction"):
        await bench.usecases.create("zoo", spec())
    assert not bench.registry.registrations


async def test_a_failed_turn_asks_with_what_the_client_had_sent_and_its_right_answer_conforms(bench: Bench) -> None:
    await bench.items.chats.keep("zoo")
    right = said(f"They ask to speak with ann ({SECRET}).")
    made = await bench.usecases.create("zoo", spec(SessionTurn("chatcmpl-2", right)))
    assert made.test_suite_version_ids == ("openai_tools/private@1",) and made.num_cases == 1
    (case,) = await bench.cases("openai_tools/private")
    profile = get_profile("openai_tools")
    messages = profile.messages(case, "bare")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant", "tool"]
    assert messages[0]["content"] == "You are Zoo Code."
    assert profile.messages(case, "full")[0]["content"].startswith("You are Zoo Code.")
    assert messages[-1]["content"].startswith("TODO: ask ann") and messages[3]["content"].startswith("Read the notes")
    assert profile.judge(case, Answer(right["content"])).conforming
    assert not profile.judge(case, Answer("", (ToolCall("read_file", '{"path": "wrong.md"}'),))).conforming
    text = json.dumps([message["content"] for message in messages]) + case.reference
    assert SECRET not in text
    (item_id,) = made.feedback_item_ids
    item = await bench.items.usecases.get(item_id)
    assert (item.author, item.subject.chat_completion_id) == ("ann", "chatcmpl-2")
    assert SECRET not in json.dumps(item.content.correction)


async def test_turns_of_both_kinds_make_a_suite_each_and_a_repeated_request_makes_nothing_more(bench: Bench) -> None:
    await bench.items.chats.keep("zoo")
    turns = (SessionTurn("chatcmpl-1", called("notes/todo.md")), SessionTurn("chatcmpl-3", said("A short greeting")))
    first, second = [await bench.usecases.create("zoo", spec(*turns)) for _ in range(2)]
    assert first == second and len(bench.registry.registrations) == 2 and first.num_cases == 2
    assert {each.produced_by for each in bench.registry.registrations.values()} == {"session:zoo"}
    (case,) = await bench.cases("openai_tools/private")
    profile = get_profile("openai_tools")
    assert profile.judge(case, Answer("", (ToolCall("read_file", '{"path": "notes/todo.md"}'),))).conforming
    assert profile.judge(case, profile.read_answer(case.reference)).conforming
    (text,) = await bench.cases("text/private")
    assert text.prompt[0] == ("system", "You are Zoo Code.")
    assert get_profile("text").judge(text, Answer("A short greeting")).conforming


async def test_a_suite_keeps_its_cases_where_that_is_asked_and_the_same_answer_is_one_case(bench: Bench) -> None:
    await bench.items.chats.keep("zoo")
    await bench.usecases.create("zoo", spec(SessionTurn("chatcmpl-1", called("todo.md"))))
    more = replace(spec(SessionTurn("chatcmpl-2", said("Ask ann."))), keeps_cases=True)
    first, second = [await bench.usecases.create("zoo", more) for _ in range(2)]
    assert first == second and first.test_suite_version_ids == ("openai_tools/private@2",) and first.num_cases == 2
    cases = await bench.cases("openai_tools/private")
    assert [(case.case_id, case.expected.no_call) for case in cases] == [("chatcmpl-1", False), ("chatcmpl-2", True)]
    await bench.usecases.create("zoo", spec(SessionTurn("chatcmpl-2", said("Ask ann."))))
    assert [case.case_id for case in await bench.cases("openai_tools/private")] == ["chatcmpl-2"]


async def test_an_earlier_right_answer_that_comes_back_is_the_newest_version_again(bench: Bench) -> None:
    await bench.items.chats.keep("zoo")
    made = []
    for path in ("a.md", "b.md", "a.md", "a.md"):
        one = replace(spec(SessionTurn("chatcmpl-1", called(path))), keeps_cases=True)
        made += (await bench.usecases.create("zoo", one)).test_suite_version_ids
    assert made == [f"openai_tools/private@{number}" for number in (1, 2, 3, 3)]
    (case,) = await bench.cases("openai_tools/private")
    assert case.expected.arguments == {"path": "a.md"}


async def test_who_saves_at_the_same_time_loses_no_case_and_brings_no_old_one_back(bench: Bench) -> None:
    await bench.items.chats.keep("zoo")

    async def save(name: str, answer: ChatMessage) -> int:
        one = replace(spec(SessionTurn(name, answer)), keeps_cases=True)
        return (await bench.usecases.create("zoo", one)).num_cases

    await save("chatcmpl-1", called("old.md"))
    await bench.items.chats.keep_chat("chatcmpl-4", talk(called("x.md")))
    # All three have read the same newest version before one of them registers.
    bench.registry.readers = asyncio.Barrier(3)
    answers = {"chatcmpl-1": called("new.md"), "chatcmpl-2": said("Ask ann."), "chatcmpl-4": called("y.md")}
    made = await asyncio.gather(*(save(name, answer) for name, answer in answers.items()))
    cases = {case.case_id: case for case in await bench.cases("openai_tools/private")}
    assert set(cases) == set(answers) and max(made) == 3
    assert cases["chatcmpl-1"].expected.arguments == {"path": "new.md"}


async def test_without_turns_every_corrected_answer_becomes_a_case(bench: Bench) -> None:
    await bench.items.chats.keep("zoo")
    for answer_id, answer in (("chatcmpl-1", called("todo.md")), ("chatcmpl-3", said(f"The key is {SECRET}"))):
        await bench.items.usecases.create("", spec_of("", chat_completion_id=answer_id, correction=(answer,)))
    await bench.items.chats.keep_chat("chatcmpl-other", replace(talk(said("Hello")), session_id=""))
    elsewhere = spec_of("", chat_completion_id="chatcmpl-other", correction=(said("Good day"),))
    await bench.items.usecases.create("", elsewhere)
    made = await bench.usecases.create("zoo", spec())
    assert made.num_cases == 2 and made.feedback_item_ids == ()
    (case,) = await bench.cases("openai_tools/private")
    assert (case.case_id, case.expected.arguments) == ("chatcmpl-1", {"path": "todo.md"})
    (text,) = await bench.cases("text/private")
    assert "The key is" in text.reference and SECRET not in text.reference


async def test_one_call_that_was_answered_in_two_ways_makes_no_case(bench: Bench) -> None:
    results: list[ChatMessage] = [
        {"role": "tool", "tool_call_id": call_id, "content": f"Version {call_id}"} for call_id in ("call_1", "call_2")
    ]
    messages = [called("a.md", "call_1"), results[0], called("a.md", "call_2"), results[1], called("b.md", "call_3")]
    await bench.items.chats.keep_chat("chatcmpl-4", talk(*messages))
    await bench.items.chats.keep("zoo")
    with pytest.raises(InvalidArgument, match="one call of read_file in two ways"):
        await bench.usecases.create("zoo", spec(SessionTurn("chatcmpl-4", called("c.md"))))


@pytest.mark.parametrize(
    ("turn", "error", "words"),
    [
        (SessionTurn("chatcmpl-9", said("x")), NotFound, "no answer 'chatcmpl-9'"),
        (SessionTurn("chatcmpl-1"), FailedPrecondition, "Nothing says what the right answer is"),
        (SessionTurn("chatcmpl-3", said(" ")), InvalidArgument, "is blank"),
        (
            SessionTurn("chatcmpl-1", _call("{}")),
            InvalidArgument,
            "the case offers no function 'fly'",
        ),
        (
            SessionTurn("chatcmpl-1", _call("{")),
            InvalidArgument,
            "arguments are no JSON",
        ),
    ],
)
async def test_an_answer_that_cannot_become_a_case_is_named_and_nothing_is_stored(
    bench: Bench, turn: SessionTurn, error: type[Exception], words: str
) -> None:
    await bench.items.chats.keep("zoo")
    with pytest.raises(error, match=words):
        await bench.usecases.create("zoo", spec(turn))
    assert not bench.registry.registrations
    assert [item async for item in bench.items.usecases.export_items(ItemFilter())] == []
