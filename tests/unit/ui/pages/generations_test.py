"""Trying a case by hand: the test runner replies to the answers as the client, and the evaluator judges them."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from drillyard.evaluator.v1.verdict_pb2 import JudgeRequest, JudgeResponse, Verdict
from drillyard.registry.v1.test_suite_pb2 import ListTestCasesRequest, ListTestCasesResponse, TestCase
from drillyard.test_runner.v1.test_run_pb2 import Sampling
from drillyard.test_runner.v1.transcript_pb2 import (
    FinishReason,
    GenerateRequest,
    GenerateResponse,
    Message,
    RenderPromptRequest,
    RenderPromptResponse,
    ToolCall,
)

from services.chassis.errors import NotFound
from ui.playground import actions as generations
from ui.playground.actions import CaseAtWork, Conversation, Subject
from ui.playground.views import generation_view
from ui.shared.environment import render

CALL = ToolCall(tool_call_id="c", name="read_file", arguments='{"path": "\u00e4"}')
ANSWERS = (Message(role="assistant", content="one"), Message(role="assistant", content="two", tool_calls=[CALL]))


class _Runner:
    async def Generate(self, request: GenerateRequest, **options: float) -> AsyncIterator[GenerateResponse]:
        assert request.messages[0].content == "hi"
        assert options["timeout"] > 60
        yield GenerateResponse(text_delta="I ")
        yield GenerateResponse(text_delta="look.")
        yield GenerateResponse(tool_calls=[CALL], finish_reason=FinishReason.FINISH_REASON_STOP)

    async def RenderPrompt(self, request: RenderPromptRequest, **_: float) -> RenderPromptResponse:
        assert request.model_version_id == ""
        place = (request.test_suite_version_id, request.case_id, request.prompt_size)
        assert place == ("roo_xml/core@1", "case-1", "compact")
        messages = [Message(role="user", content="do"), *request.answers]
        return RenderPromptResponse(messages=messages, tools=["{}"], stop="repetition")


class _Registry:
    async def ListTestCases(self, request: ListTestCasesRequest) -> ListTestCasesResponse:
        return ListTestCasesResponse(test_cases=[TestCase(case_id="case-1", document='{"task": "do"}')])


class _Evaluator:
    def __init__(self) -> None:
        self.requests: list[JudgeRequest] = []

    async def Judge(self, request: JudgeRequest) -> JudgeResponse:
        self.requests.append(request)
        return JudgeResponse(verdict=Verdict(cause="no_call", scores={"form": 0.5}))


CASE = CaseAtWork("roo_xml/core@1", "case-1", "compact", ANSWERS)


async def test_the_test_runner_tells_what_a_case_asks_next_and_why_it_stopped() -> None:
    clients: Any = SimpleNamespace(test_runner=_Runner())
    conversation = await generations.conversation_of(clients, CASE)
    assert conversation.messages[1:] == ANSWERS
    assert (conversation.tools, conversation.stop) == (("{}",), "repetition")


async def test_native_calls_stand_beside_the_text() -> None:
    clients: Any = SimpleNamespace(test_runner=_Runner())
    asked = Conversation((Message(role="user", content="hi"),))
    pieces = generations.answer(clients, Subject("m@1"), asked, sampling=Sampling(), seed=1)
    messages = [message async for message, _ in pieces]
    assert [message.content for message in messages] == ["I ", "I look.", "I look."]
    assert messages[-1] == Message(role="assistant", content="I look.", tool_calls=[CALL])


async def test_all_answers_of_a_case_are_judged_together_with_their_calls() -> None:
    evaluator = _Evaluator()
    clients: Any = SimpleNamespace(evaluator=evaluator, registry=_Registry())
    view = await generations.judge_case(clients, CASE, is_cut=True)
    (request,) = evaluator.requests
    assert (request.profile_id, tuple(request.messages)) == ("roo_xml", ANSWERS)
    assert json.loads(request.case_document) == {"task": "do"}
    assert request.finish_reason == "length"
    assert view.scores == (("form", 0.5),)
    assert (view.answer.before, view.answer.calls) == ("two", ('read_file({"path": "\u00e4"})',))
    with pytest.raises(NotFound, match="unheard-of"):
        await generations.judge_case(
            clients, CaseAtWork("roo_xml/core@1", "unheard-of", "compact", ANSWERS), is_cut=True
        )


def test_calls_stand_beside_the_text_on_the_page_and_an_answer_of_calls_alone_is_not_empty() -> None:
    calls, nothing = (
        render("playground/answer", is_judged=False, view=generation_view(message, GenerateResponse()))
        for message in (Message(tool_calls=[CALL]), Message())
    )
    assert "read_file(" in calls and "empty answer" not in calls
    assert "empty answer" in nothing
