"""Two models answer one message beside each other, and a conversation becomes a case of a suite of one's own."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
from drillyard.feedback.v1 import chat_session_pb2 as pb
from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest, GenerateResponse, Message

from services.chassis.errors import Unavailable
from tests.machine import PATIENCE_SECONDS
from ui.evaluations.feedback.box import FeedbackBox
from ui.playground.form import MESSAGES, PlaygroundForm, playground_form
from ui.playground.page import _Page
from ui.playground.saving import SESSION, CaseBox, written
from ui.playground.sides import Side, SoFar, Talks
from ui.shared.cache import ServiceCache
from ui.shared.documents import document


class FakeRunner:
    """Models that answer with their own names; those of `away` fail, those of `held` never end."""

    def __init__(self) -> None:
        self.requests: list[GenerateRequest] = []
        self.away: set[str] = set()
        self.held: set[str] = set()

    async def Generate(self, request: GenerateRequest, **_: Any) -> AsyncIterator[GenerateResponse]:
        self.requests.append(request)
        # Neither says anything before both were asked.
        while len(self.requests) % 2:
            await asyncio.sleep(0)
        if request.model_version_id in self.away:
            raise Unavailable(f"{request.model_version_id} is away.", "Ask again.")
        yield GenerateResponse(text_delta=f"I am {request.model_version_id}.")
        if request.model_version_id in self.held:
            await asyncio.Event().wait()


class FakeFeedback:
    """Takes what is stored and made."""

    def __init__(self) -> None:
        self.stored: list[pb.StoreChatAnswerRequest] = []
        self.kept: list[str] = []
        self.suites: list[pb.CreateSessionSuiteRequest] = []

    async def StoreChatAnswer(self, request: pb.StoreChatAnswerRequest) -> pb.StoreChatAnswerResponse:
        self.stored.append(request)
        return pb.StoreChatAnswerResponse()

    async def KeepChatSession(self, request: pb.KeepChatSessionRequest) -> pb.KeepChatSessionResponse:
        self.kept.append(request.session_id)
        return pb.KeepChatSessionResponse()

    async def CreateSessionSuite(self, request: pb.CreateSessionSuiteRequest) -> pb.CreateSessionSuiteResponse:
        self.suites.append(request)
        return pb.CreateSessionSuiteResponse(test_suite_version_ids=["text/mine@2"], num_cases=2)


def _cache(**clients: Any) -> ServiceCache:
    application: Any = SimpleNamespace(state=SimpleNamespace(clients=SimpleNamespace(**clients)))
    return ServiceCache(application)


async def _answered(page: _Page, values: dict[Any, Any]) -> dict[Any, Any]:
    """Return what the page shows last in each place, and let its states be what they are then."""
    shown: dict[Any, Any] = {}
    async for update in page.ask(values):
        shown |= update
    values |= {place: value for place, value in shown.items() if place in values}
    return shown


def _beside(runner: FakeRunner) -> tuple[_Page, PlaygroundForm, Side, Side, dict[Any, Any]]:
    """Return a page with two models, its form and sides, and what the form says."""
    cache = _cache(test_runner=runner)
    with gr.Blocks():
        form, first, second = playground_form(), Side(), Side("beside-")
        page = _Page(cache, form, Talks(form, first, second), FeedbackBox(cache, has_turns=False))
    values: dict[Any, Any] = {component: getattr(component, "value", None) for component in form.components()}
    asked: dict[Any, Any] = {form.model: "a@1", form.beside: "b@1", form.message: "Who?", form.source: MESSAGES}
    values |= {**asked, first.so_far: SoFar(), second.so_far: SoFar()}
    return page, form, first, second, values


async def test_each_of_two_models_goes_on_from_its_own_answers_and_an_error_of_one_costs_the_other_nothing() -> None:
    runner = FakeRunner()
    page, form, first, second, values = _beside(runner)
    shown = await _answered(page, values)
    assert "I am a@1." in shown[first.answer] and "I am b@1." in shown[second.answer] and values[form.message] == ""

    runner.away = {"b@1"}
    values[form.message] = "And now?"
    shown = await _answered(page, values)
    assert "I am a@1." in shown[first.answer] and "b@1 is away" in shown[second.answer]
    said = [message.content for message in values[first.so_far].messages]
    assert said == ["Who?", "I am a@1.", "And now?", "I am a@1."]
    told = {one.model_version_id: [message.content for message in one.messages] for one in runner.requests[2:]}
    assert told == {"a@1": ["Who?", "I am a@1.", "And now?"], "b@1": ["Who?", "I am b@1.", "And now?"]}

    # Who missed an answer goes on from the first one's; who is asked again reads nothing twice.
    runner.away = {"a@1"}
    values[form.message] = "Still?"
    shown = await _answered(page, values)
    assert "a@1 is away" in shown[first.answer] and "I am b@1." in shown[second.answer]
    assert values[form.message] == "Still?" and len(values[first.so_far].messages) == 4
    assert [len(one.messages) for one in runner.requests[4:]] == [5, 5]


async def test_an_answer_that_has_ended_is_kept_when_the_other_one_is_stopped() -> None:
    runner = FakeRunner()
    runner.held = {"b@1"}
    page, form, first, second, values = _beside(runner)
    stream, shown = page.ask(values), dict[Any, Any]()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while first.so_far not in shown:
            shown |= await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert shown[form.message] == "" and "I am a@1." in shown[first.answer] and second.so_far not in shown
    values |= {first.so_far: shown[first.so_far], form.message: "And now?"}
    runner.held = set()
    shown = await _answered(page, values)
    assert "I am a@1." in shown[first.answer] and "I am b@1." in shown[second.answer]
    told = [[message.content for message in one.messages] for one in runner.requests[2:]]
    assert told == [["Who?", "I am a@1.", "And now?"]] * 2
    assert len(values[second.so_far].messages) == 4


async def test_a_conversation_becomes_a_case_with_the_right_answer_beside_the_cases_that_are_there() -> None:
    feedback = FakeFeedback()
    with gr.Blocks():
        subject, author = gr.State({}), gr.Textbox()
        box = CaseBox(_cache(feedback=feedback), subject, author)
    call = {"tool_call_id": "1", "name": "read_file", "arguments": "{}"}
    answers = [Message(role="assistant", content="Red."), Message(role="assistant", tool_calls=[call])]  # type: ignore[list-item]
    chats = [{"chat": document(pb.ChatAnswer(messages=[Message(role="user", content="Hi."), one]))} for one in answers]
    assert written(chats[0]) == "Red." and written({}) == ""
    assert json.loads(written(chats[1]))["tool_calls"][0]["function"] == {"name": "read_file", "arguments": "{}"}
    values: dict[Any, Any] = {component: component.value for component in box._fields.components.values()}
    values |= {subject: chats[0], author: "ann", box.right: "Blue."}
    assert "has no name" in await box.save(values) and not feedback.stored
    values[box._fields.components["suite_name"]] = "mine"
    assert "text/mine@2" in await box.save(values) and feedback.kept == [SESSION]
    (stored,), (made,) = feedback.stored, feedback.suites
    assert stored.chat.session_id == SESSION and made.spec.keeps_cases and made.spec.author == "ann"
    (turn,) = made.spec.turns
    assert (turn.chat_completion_id, turn.right_answer.content) == (stored.chat_completion_id, "Blue.")
