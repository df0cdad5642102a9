"""The page of recorded sessions: once a session is kept, its answers are corrected and made a suite."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
from drillyard.feedback.v1 import chat_session_pb2 as pb
from drillyard.test_runner.v1.transcript_pb2 import Message, ToolCall

from ui.evaluations.feedback.box import FeedbackBox
from ui.evaluations.feedback.session_page import _Page
from ui.shared.cache import ServiceCache
from ui.shared.fields import FieldForm


class FakeFeedback:
    """One session with one answer."""

    def __init__(self) -> None:
        self.session = pb.ChatSession(session_id="zoo", num_answers=1)
        call = ToolCall(name="read_file", arguments='{"path": "<b>notes</b>"}')
        messages = [Message(role="user", content="Read them."), Message(role="assistant", tool_calls=[call])]
        chat = pb.ChatAnswer(model_version_id="tiny@1", messages=messages, tools=["{}"])
        self.answer = pb.RecordedAnswer(chat_completion_id="chatcmpl-1", chat=chat)
        self.suites: list[pb.CreateSessionSuiteRequest] = []

    async def ListChatSessions(self, request: Any) -> pb.ListChatSessionsResponse:
        return pb.ListChatSessionsResponse(chat_sessions=[self.session])

    async def ListRecordedAnswers(self, request: Any) -> pb.ListRecordedAnswersResponse:
        return pb.ListRecordedAnswersResponse(recorded_answers=[self.answer])

    async def KeepChatSession(self, request: Any) -> pb.KeepChatSessionResponse:
        self.session.is_kept = True
        return pb.KeepChatSessionResponse(chat_session=self.session)

    async def CreateSessionSuite(self, request: pb.CreateSessionSuiteRequest) -> pb.CreateSessionSuiteResponse:
        self.suites.append(request)
        return pb.CreateSessionSuiteResponse(test_suite_version_ids=["openai_tools/mine@1"], num_cases=1)


async def test_an_answer_is_corrected_and_made_a_suite_once_its_session_is_kept() -> None:
    feedback = FakeFeedback()
    application: Any = SimpleNamespace(state=SimpleNamespace(clients=SimpleNamespace(feedback=feedback)))
    cache = ServiceCache(application)
    with gr.Blocks():
        form, chosen = FieldForm("session", pb.SessionSuiteSpec), gr.State("")
        form.add("suite_name", "author", "scorer", "threshold")
        page = _Page(cache, form, FeedbackBox(cache, has_turns=False))
        page.chosen = chosen
    sessions, answers, answer, box, column, keep, forget, subject, _ = await page.refresh("zoo", "chatcmpl-1", [""], {})
    assert "recorded</span>" in sessions and "read_file" in answers and "&lt;b&gt;notes" in answer
    assert (box, subject) == ("", {}) and not column.visible and keep.visible and forget.visible
    assert "is kept" in await page.keep("zoo")
    *_, box, column, keep, forget, subject, _ = await page.refresh("zoo", "chatcmpl-1", [""], {})
    assert "stars 5" in box and column.visible and not keep.visible
    assert subject == {"chat_completion_id": "chatcmpl-1"}
    values: dict[Any, Any] = {component: component.value for component in form.components.values()}
    values |= {form.components["suite_name"]: "mine", chosen: "zoo"}
    assert "openai_tools/mine@1 is registered" in await page.make_suite(values)
    assert (feedback.suites[0].session_id, feedback.suites[0].spec.suite_name) == ("zoo", "mine")
    assert "No session is open" in await page.make_suite({**values, chosen: ""})
