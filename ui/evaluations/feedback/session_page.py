"""The page of recorded sessions: what a client asked, kept or forgotten, corrected, and made a private suite."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.feedback.v1.chat_session_pb2 import (
    ChatSession,
    CreateSessionSuiteRequest,
    ForgetChatSessionRequest,
    KeepChatSessionRequest,
    ListChatSessionsRequest,
    ListRecordedAnswersRequest,
    ListRecordedAnswersResponse,
    SessionSuiteSpec,
)

from services.chassis.errors import InvalidArgument, ServiceError
from ui.evaluations.feedback.box import FeedbackBox
from ui.gateway.clients import Clients
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render
from ui.shared.fields import FieldForm, Values

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_NUM_SESSIONS = 100
_PAGE_SIZE = 25


async def read_sessions(clients: Clients) -> list[ChatSession]:
    """Return the first sessions by name."""
    response = await clients.feedback.ListChatSessions(ListChatSessionsRequest(page_size=_NUM_SESSIONS))
    return list(response.chat_sessions)


async def read_answers(clients: Clients, session_id: str, token: str) -> ListRecordedAnswersResponse:
    """Return a page of the answers of a session."""
    request = ListRecordedAnswersRequest(session_id=session_id, page_size=_PAGE_SIZE, page_token=token)
    response: ListRecordedAnswersResponse = await clients.feedback.ListRecordedAnswers(request)
    return response


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Sessions", "What real clients asked: nothing learns from it until a person keeps it.")
    chosen, answer_id, places, shown = gr.State(""), gr.State(""), gr.State([""]), gr.State({})
    subject: gr.State = gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            sessions = parts.area("sessions", waits=True)
            with gr.Column(elem_classes="dy-form"):
                form = FieldForm("session", SessionSuiteSpec)
                form.add("suite_name", "author", "scorer", "threshold", "keeps_cases")
                suite = gr.Button("Make a suite of the corrected answers", variant="primary", elem_id="session-suite")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("session-message")
            with gr.Row():
                keep = gr.Button("Keep this session", visible=False, size="sm", elem_id="session-keep")
                forget = gr.Button(
                    "Forget this session", visible=False, size="sm", elem_id="session-forget", elem_classes="dy-cancel"
                )
            answers = parts.area("session-answers")
            answer = parts.area("session-answer")
            box = FeedbackBox(cache, has_turns=False)
    page = _Page(cache, form, box)
    seen = [chosen, answer_id, places, shown]
    areas = [sessions, answers, answer, box.area, box.column, keep, forget, subject, shown]
    parts.root().load(page.open, None, [chosen], **_QUIET).then(page.refresh, seen, areas, **_QUIET)
    parts.keep_fresh(cache, page.refresh, seen, areas, seconds=2 * parts.TICK_SECONDS)
    opened = sessions.select(page.choose, None, [chosen, answer_id, places], **_QUIET)
    opened.then(page.refresh, seen, areas, **_QUIET)
    turned = answers.select(page.choose_answer, [answer_id, places], [answer_id, places], **_QUIET)
    turned.then(page.refresh, seen, areas, **_QUIET)
    kept = keep.click(page.keep, [chosen], [message], **_QUIET)
    kept.then(page.refresh, seen, areas, **_QUIET)
    forgotten = forget.click(page.forget, [chosen], [chosen, answer_id, message], **_QUIET)
    forgotten.then(page.refresh, seen, areas, **_QUIET)
    suite.click(page.make_suite, {chosen, *form.components.values()}, [message], **_QUIET)
    box.wire(subject, message, page.refresh, seen, areas)
    page.chosen = chosen


class _Page:
    chosen: gr.State

    def __init__(self, cache: ServiceCache, form: FieldForm, box: FeedbackBox) -> None:
        self._cache = cache
        self._form = form
        self._box = box

    def open(self, request: gr.Request) -> str:
        return parts.query(request, "session")

    def choose(self, event: gr.EventData) -> list[Any]:
        return [parts.picked(event), "", [""]]

    def choose_answer(self, answer_id: str, places: list[str], event: gr.EventData) -> list[Any]:
        name, _, token = parts.picked(event).partition(" ")
        if name == "page:next":
            return [answer_id, [*places, token]]
        if name == "page:previous":
            return [answer_id, places[:-1] or [""]]
        return [name, places]

    async def keep(self, chosen: str) -> str:
        try:
            await self._cache.clients.feedback.KeepChatSession(KeepChatSessionRequest(session_id=chosen))
        except ServiceError as error:
            return notice(error)
        self._cache.forget()
        return done_notice(f"{chosen} is kept.", "Its answers can be rated, corrected and made a suite.")

    async def forget(self, chosen: str) -> list[Any]:
        try:
            await self._cache.clients.feedback.ForgetChatSession(ForgetChatSessionRequest(session_id=chosen))
        except ServiceError as error:
            return [gr.skip(), gr.skip(), notice(error)]
        self._cache.forget()
        return ["", "", done_notice(f"{chosen} is forgotten; feedback on its answers stays.", tone="warn")]

    async def make_suite(self, values: Values) -> str:
        session_id = values[self.chosen]
        try:
            if not session_id:
                raise InvalidArgument("No session is open.", "Open one from the list.")
            spec = SessionSuiteSpec()
            self._form.fill(spec, values, "spec.")
            request = CreateSessionSuiteRequest(session_id=session_id, spec=spec)
            made = await self._cache.clients.feedback.CreateSessionSuite(request)
        except ServiceError as error:
            return notice(error, "session")
        self._cache.forget()
        names = " and ".join(made.test_suite_version_ids)
        return done_notice(f"{names} is registered, with {made.num_cases} cases.", "Test a model on it.")

    async def refresh(self, chosen: str, answer_id: str, places: list[str], shown: dict[str, int]) -> list[Any]:
        listed = await html_or_notice(self._sessions(chosen))
        session, answer, subject = None, None, {}
        try:
            sessions = await self._cache.read(read_sessions)
            session = next((item for item in sessions if item.session_id == chosen), None)
            page = await self._cache.read(read_answers, chosen, places[-1]) if session else None
            recorded = page.recorded_answers if page else []
            answer = next((item for item in recorded if item.chat_completion_id == answer_id), None)
            table = render("feedback/answers", page=page, session=session, picked=answer_id, is_first=len(places) == 1)
        except ServiceError as error:
            table = notice(error)
        conversation = render("feedback/answer", answer=answer)
        may_say = answer is not None and session is not None and session.is_kept
        if may_say:
            subject = {"chat_completion_id": answer_id}
        box = await self._box.html(subject)
        htmls = parts.changed(shown, sessions=listed, answers=table, answer=conversation, box=box)
        buttons = [
            gr.Column(visible=may_say),
            gr.Button(visible=session is not None and not session.is_kept),
            gr.Button(visible=session is not None),
        ]
        return [*htmls, *buttons, subject, shown]

    async def _sessions(self, chosen: str) -> str:
        return render("feedback/sessions", sessions=await self._cache.read(read_sessions), picked=chosen)
