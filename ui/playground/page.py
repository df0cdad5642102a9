"""What the page shows, and what each control does."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import gradio as gr
from drillyard.feedback.v1.chat_session_pb2 import ChatAnswer
from drillyard.test_runner.v1.transcript_pb2 import GenerateResponse, Message

from services.chassis.errors import FailedPrecondition, InvalidArgument, ServiceError
from ui.evaluations.feedback.box import FeedbackBox
from ui.models.actions import read_models, read_suites
from ui.playground.actions import CaseAtWork, Conversation, answer, conversation_of, judge_case, render_prompt, was_cut
from ui.playground.form import CASE, MESSAGES, PlaygroundForm, playground_form
from ui.playground.views import generation_view
from ui.shared import parts
from ui.shared.cache import ServiceCache, html_or_notice, notice
from ui.shared.documents import Document, document
from ui.shared.environment import render
from ui.shared.fields import text_of
from ui.test_suites.actions import read_suite

# Each update of a page is a message to a browser.
_UPDATE_SECONDS = 0.15
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_Given: TypeAlias = dict[Any, Any]


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Playground", "Ask a model: see exactly what it reads, and what the client makes of its answer.")
    so_far = gr.State(SoFar())
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300), gr.Column(elem_classes="dy-form"):
            form = playground_form()
            ask = gr.Button("Answer", variant="primary", elem_id="playground-ask")
            preview = gr.Button("Show the prompt", elem_id="playground-preview")
            with gr.Row():
                stop = gr.Button("Stop", elem_id="playground-stop", min_width=110)
                anew = gr.Button("Start over", elem_id="playground-anew", min_width=110)
        with gr.Column(scale=9, min_width=520):
            talk, answer, judgement = (parts.area(name) for name in ("talk", "answer", "judgement"))
            box, kept, subject = FeedbackBox(cache, has_turns=False), parts.area("feedback-message"), gr.State({})
            prompt = parts.area("prompt")
    page = _Page(cache, form, so_far, box)
    values, outputs = form.components() | {so_far}, [so_far, form.message, talk, answer, judgement]
    parts.root().load(page.open, None, [form.model, form.suite, form.case, form.source, talk], **_QUIET)
    form.suite.change(page.cases, [form.suite, form.case], [form.case], **_QUIET)
    shown = preview.click(lambda: render("shared/loading"), None, [prompt], **_QUIET)
    shown.then(page.preview, values, [prompt], **_QUIET)
    request = ask.click(page.ask, values, outputs, **_QUIET)
    review = [subject, kept, box.area, box.column]
    request.then(page.review, values, review, **_QUIET)
    box.wire(subject, kept, lambda: None, [], [])
    stop.click(None, None, None, cancels=[request], **_QUIET)
    # In the browser: an answer of the service could come after that of a button pressed in the meantime.
    restart = [form.source.input, form.suite.input, form.case.input, anew.click]
    emptied = [talk, answer, judgement, prompt, kept, box.area, box.column]
    gr.on(restart, None, None, emptied, js=_emptied(), cancels=[request], **_QUIET)
    gr.on(restart, page.begin, None, [so_far], **_QUIET)


@dataclass(frozen=True)
class SoFar:
    """What was said so far: of one's own messages both sides, of a case the answers alone.

    Attributes:
        about: what it belongs to: who writes the messages, and for a case its suite and name.
    """

    about: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class _Piece:
    """The answer so far; `is_due` when the page should show it."""

    answer: Message = field(default_factory=Message)
    last: GenerateResponse = field(default_factory=GenerateResponse)
    seconds: float = 0.0
    is_due: bool = False


class _Page:
    def __init__(self, cache: ServiceCache, form: PlaygroundForm, so_far: gr.State, box: FeedbackBox) -> None:
        self._cache = cache
        self._box = box
        self._form = form
        self._so_far = so_far

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models)]
            suites = [suite.test_suite_version_id for suite in await self._cache.read(read_suites)]
        except ServiceError as error:
            return [*[gr.skip()] * 4, notice(error)]
        case_id = parts.query(request, "case")
        return [
            parts.choices(versions, parts.query(request, "model")),
            parts.choices(suites, parts.query(request, "suite")),
            # The list of cases follows the suite, and keeps this one.
            gr.Dropdown(choices=[case_id] if case_id else [], value=case_id or None),
            CASE if case_id else MESSAGES,
            render("playground/empty"),
        ]

    async def cases(self, suite: str | None, chosen: str | None) -> Any:
        try:
            cases = (await self._cache.read(read_suite, suite)).cases if suite else ()
        except ServiceError:
            cases = ()
        return parts.choices([case.case_id for case in cases], chosen or "")

    def begin(self) -> SoFar:
        return SoFar()

    async def preview(self, values: _Given) -> str:
        return await html_or_notice(self._preview(values), "playground")

    async def ask(self, values: _Given) -> AsyncIterator[list[Any]]:
        """Stream the answer, then show the verdict on it."""
        try:
            case, request = await self._asked(values)
            if request.stop:
                raise FailedPrecondition("The client takes no further answer.", "Press “Start over”.")
            yield [gr.skip(), gr.skip(), _talk(request), _answer(generation_view(Message())), ""]
            piece = _Piece()
            async for piece in self._pieces(values, request):
                if piece.is_due:
                    yield [gr.skip(), gr.skip(), gr.skip(), _answer(generation_view(piece.answer)), gr.skip()]
            shown = generation_view(piece.answer, piece.last, piece.seconds)
            judged = await self._judged(case, piece)
            yield [self._said(values, piece.answer), "", gr.skip(), _answer(shown, judged), judged]
        except ServiceError as error:
            yield [gr.skip(), gr.skip(), gr.skip(), notice(error, "playground"), ""]

    async def review(self, values: _Given) -> list[Any]:
        """Offer to rate, correct or prefer the answer that has come."""
        try:
            subject = await self._answered(values)
        except ServiceError:
            subject = {}
        return [subject, "", await self._box.html(subject), gr.Column(visible=bool(subject))]

    async def _answered(self, values: _Given) -> Document:
        """Return the beginning of an item on the last answer; nothing before there is one."""
        so_far = self._messages(values)
        if not so_far:
            return {}
        conversation = Conversation(so_far)
        if values[self._form.source] == CASE:
            _, conversation = await self._asked(values)
        elif text_of(values, self._form.system):
            conversation = Conversation((Message(role="system", content=values[self._form.system]), *so_far))
        asked = self._form.subject(values)
        chat = ChatAnswer(
            model_version_id=asked.model_version_id or (asked.endpoint.model if asked.endpoint else ""),
            messages=conversation.messages[: _last_answer(conversation) + 1],
            tools=conversation.tools,
        )
        return {"chat": document(chat)}

    async def _pieces(self, values: _Given, conversation: Conversation) -> AsyncIterator[_Piece]:
        spec = self._form.spec(values)
        begin = updated = time.monotonic()
        subject = self._form.subject(values)
        async for message, piece in answer(
            self._cache.clients, subject, conversation, sampling=spec.sampling, seed=spec.seed
        ):
            now = time.monotonic()
            is_due = now - updated >= _UPDATE_SECONDS
            updated = now if is_due else updated
            yield _Piece(message, piece, now - begin, is_due)

    async def _asked(self, values: _Given) -> tuple[CaseAtWork | None, Conversation]:
        form, so_far = self._form, self._messages(values)
        if values[form.source] == CASE:
            if not values[form.suite] or not values[form.case]:
                raise InvalidArgument("No case is chosen.", "Choose a suite and one of its cases.", field="case")
            size = values[form.prompt_size]
            case = CaseAtWork(values[form.suite], values[form.case], size, so_far)
            return case, await conversation_of(self._cache.clients, case)
        system = [Message(role="system", content=values[form.system])] if text_of(values, form.system) else []
        messages = [*system, *so_far, *_own(values[form.message] or "")]
        if not messages or messages[-1].role != "user":
            raise InvalidArgument("There is no message.", "Write one.", field="messages")
        return None, Conversation(tuple(messages))

    async def _preview(self, values: _Given) -> str:
        subject = self._form.subject(values)
        if subject.endpoint is not None:
            raise InvalidArgument(
                "An endpoint does not tell what its model reads.",
                "Choose a registered model; the page Doctor compares a server with it.",
                field="answered_by",
            )
        _, request = await self._asked(values)
        shown = await render_prompt(self._cache.clients, subject.model_version_id, request)
        return render("playground/prompt", prompt=shown)

    def _said(self, values: _Given, answer: Message) -> SoFar:
        own = _own(values[self._form.message] or "") if values[self._form.source] == MESSAGES else []
        return SoFar(self._about(values), (*self._messages(values), *own, answer))

    def _about(self, values: _Given) -> tuple[str, ...]:
        form = self._form
        source = values[form.source] or ""
        return (source, values[form.suite] or "", values[form.case] or "") if source == CASE else (source,)

    def _messages(self, values: _Given) -> tuple[Message, ...]:
        so_far: SoFar = values[self._so_far]
        return so_far.messages if so_far.about == self._about(values) else ()

    async def _judged(self, case: CaseAtWork | None, piece: _Piece) -> str:
        if case is None:
            return ""
        case = replace(case, answers=(*case.answers, piece.answer))
        view = await judge_case(self._cache.clients, case, is_cut=was_cut(piece.last))
        after = await conversation_of(self._cache.clients, case)
        replies = after.messages[_last_answer(after) + 1 :]
        return render("playground/judgement", view=view, stop=after.stop, replies=replies)


def _emptied() -> str:
    """Return the function of the browser that shows the page as it begins."""
    hidden = {"__type__": "update", "visible": False}
    return f"() => {json.dumps([render('playground/empty'), '', '', '', '', '', hidden])}"


def _own(message: str) -> list[Message]:
    return [Message(role="user", content=message)] if message.strip() else []


def _last_answer(conversation: Conversation) -> int:
    return max(
        (place for place, message in enumerate(conversation.messages) if message.role == "assistant"), default=-1
    )


def _talk(conversation: Conversation) -> str:
    return render("playground/talk", messages=conversation.messages, tools=conversation.tools)


def _answer(view: Any, judged: str = "") -> str:
    return render("playground/answer", view=view, is_judged=bool(judged))
