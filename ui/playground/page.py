"""What the page shows, and what each control does."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import gradio as gr
from drillyard.test_runner.v1.transcript_pb2 import GenerateResponse, Message

from services.chassis.errors import FailedPrecondition, InvalidArgument, ServiceError
from ui.evaluations.feedback.box import FeedbackBox
from ui.models.actions import read_models, read_suites
from ui.playground.actions import (
    CaseAtWork,
    Conversation,
    Subject,
    answer,
    conversation_of,
    judge_case,
    merged,
    render_prompt,
    was_cut,
)
from ui.playground.form import CASE, MESSAGES, PlaygroundForm, playground_form
from ui.playground.saving import CaseBox, written
from ui.playground.sides import Side, SoFar, Talks, last_answer
from ui.playground.views import generation_view
from ui.shared import parts
from ui.shared.cache import ServiceCache, html_or_notice, notice
from ui.shared.environment import render
from ui.test_suites.actions import read_suite

# Each update of a page is a message to a browser.
_UPDATE_SECONDS = 0.15
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_Given: TypeAlias = dict[Any, Any]


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Playground", "Ask a model: see exactly what it reads, and what the client makes of its answer.")
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300), gr.Column(elem_classes="dy-form"):
            form = playground_form()
            ask = gr.Button("Answer", variant="primary", elem_id="playground-ask")
            preview = gr.Button("Show the prompt", elem_id="playground-preview")
            with gr.Row():
                stop = gr.Button("Stop", elem_id="playground-stop", min_width=110)
                anew = gr.Button("Start over", elem_id="playground-anew", min_width=110)
        with gr.Column(scale=9, min_width=520):
            with gr.Row(equal_height=False):
                with gr.Column(min_width=300):
                    first = Side()
                with gr.Column(min_width=300, visible=False) as beside:
                    second = Side("beside-")
            box, kept, subject = FeedbackBox(cache, has_turns=False), parts.area("feedback-message"), gr.State({})
            saving, prompt = CaseBox(cache, subject, box.author), parts.area("prompt")
    page = _Page(cache, form, Talks(form, first, second), box)
    so_far = [first.so_far, second.so_far]
    values, outputs = form.components() | set(so_far), [form.message, *so_far, *first.areas, *second.areas]
    opened = [form.model, form.beside, form.suite, form.case, form.source, first.talk, beside]
    parts.root().load(page.open, None, opened, **_QUIET)
    form.suite.change(page.cases, [form.suite, form.case], [form.case], **_QUIET)
    form.beside.change(lambda model: gr.Column(visible=bool(model)), [form.beside], [beside], **_QUIET)
    shown = preview.click(lambda: render("shared/loading"), None, [prompt], **_QUIET)
    shown.then(page.preview, values, [prompt], **_QUIET)
    request = ask.click(page.ask, values, outputs, **_QUIET)
    columns = [box.column, saving.column]
    request.then(page.review, values, [subject, kept, box.area, saving.right, *columns], **_QUIET)
    box.wire(subject, kept, lambda: None, [], [])
    stop.click(None, None, None, cancels=[request], **_QUIET)
    # In the browser: an answer of the service could come after that of a button pressed in the meantime.
    restart = [form.source.input, form.suite.input, form.case.input, anew.click]
    emptied = [*first.areas, *second.areas, prompt, kept, box.area, saving.message]
    js = _emptied(len(emptied), len(columns))
    gr.on(restart, None, None, [*emptied, *columns], js=js, cancels=[request], **_QUIET)
    gr.on(restart, page.begin, None, so_far, **_QUIET)


@dataclass(frozen=True)
class _Piece:
    """The answer so far; `is_due` when the page should show it."""

    answer: Message = field(default_factory=Message)
    last: GenerateResponse = field(default_factory=GenerateResponse)
    seconds: float = 0.0
    is_due: bool = False


class _Page:
    def __init__(self, cache: ServiceCache, form: PlaygroundForm, talks: Talks, box: FeedbackBox) -> None:
        self._cache = cache
        self._box = box
        self._form = form
        self._talks = talks

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models)]
            suites = [suite.test_suite_version_id for suite in await self._cache.read(read_suites)]
        except ServiceError as error:
            return [*[gr.skip()] * 5, notice(error), gr.skip()]
        case_id, beside = parts.query(request, "case"), parts.query(request, "beside")
        return [
            parts.choices(versions, parts.query(request, "model")),
            gr.Dropdown(choices=["", *versions], value=beside if beside in versions else ""),
            parts.choices(suites, parts.query(request, "suite")),
            # The list of cases follows the suite, and keeps this one.
            gr.Dropdown(choices=[case_id] if case_id else [], value=case_id or None),
            CASE if case_id else MESSAGES,
            render("playground/empty"),
            gr.Column(visible=beside in versions),
        ]

    async def cases(self, suite: str | None, chosen: str | None) -> Any:
        try:
            cases = (await self._cache.read(read_suite, suite)).cases if suite else ()
        except ServiceError:
            cases = ()
        return parts.choices([case.case_id for case in cases], chosen or "")

    def begin(self) -> list[SoFar]:
        return [SoFar(), SoFar()]

    async def preview(self, values: _Given) -> str:
        return await html_or_notice(self._preview(values), "playground")

    async def ask(self, values: _Given) -> AsyncIterator[_Given]:
        """Stream the answer of each model, then the verdict on it; an error of one costs the other nothing."""
        first, said, counted = self._talks.first, dict[Side, SoFar](), set[Side]()
        streams = [self._answers(values, first, said)]
        if values[self._form.beside]:
            streams.append(self._answers(values, self._talks.second, said))
        async for update in merged(streams):
            # Asked again, none of the two shall read a message twice: without the first one's answer neither counts.
            counts = first in said or values[self._form.source] == CASE
            new = said.keys() - counted if counts else set()
            counted |= new
            cleared = {self._form.message: ""} if first in new else {}
            yield {**update, **{side.so_far: said[side] for side in new}, **cleared}

    async def review(self, values: _Given) -> list[Any]:
        """Offer to rate, correct or prefer the answer that has come, and to keep the conversation as a case."""
        try:
            subject = await self._talks.answered(self._cache.clients, values)
        except ServiceError:
            subject = {}
        column = gr.Column(visible=bool(subject))
        return [subject, "", await self._box.html(subject), written(subject), column, column]

    async def _answers(self, values: _Given, side: Side, said: dict[Side, SoFar]) -> AsyncIterator[_Given]:
        is_first = side is self._talks.first
        try:
            case, request = await self._talks.asked(self._cache.clients, values, side)
            if request.stop:
                raise FailedPrecondition("The client takes no further answer.", "Press “Start over”.")
            subject = self._form.subject(values) if is_first else Subject(model_version_id=values[self._form.beside])
            name = subject.model_version_id if values[self._form.beside] else ""
            talk = render("playground/talk", messages=request.messages, tools=request.tools, name=name)
            yield {side.talk: talk, side.answer: _answer(generation_view(Message())), side.judgement: ""}
            piece = _Piece()
            async for piece in self._pieces(values, request, subject):
                if piece.is_due:
                    yield {side.answer: _answer(generation_view(piece.answer))}
            judged = await self._judged(case, piece)
            shown = generation_view(piece.answer, piece.last, piece.seconds)
            said[side] = self._talks.said(values, side, piece.answer)
            yield {side.answer: _answer(shown, judged), side.judgement: judged}
        except ServiceError as error:
            yield {side.answer: notice(error, "playground"), side.judgement: ""}

    async def _pieces(self, values: _Given, conversation: Conversation, subject: Subject) -> AsyncIterator[_Piece]:
        spec = self._form.spec(values)
        begin = updated = time.monotonic()
        async for message, piece in answer(
            self._cache.clients, subject, conversation, sampling=spec.sampling, seed=spec.seed
        ):
            now = time.monotonic()
            is_due = now - updated >= _UPDATE_SECONDS
            updated = now if is_due else updated
            yield _Piece(message, piece, now - begin, is_due)

    async def _preview(self, values: _Given) -> str:
        subject = self._form.subject(values)
        if subject.endpoint is not None:
            raise InvalidArgument(
                "An endpoint does not tell what its model reads.",
                "Choose a registered model; the page Doctor compares a server with it.",
                field="answered_by",
            )
        _, request = await self._talks.asked(self._cache.clients, values, self._talks.first)
        shown = await render_prompt(self._cache.clients, subject.model_version_id, request)
        return render("playground/prompt", prompt=shown)

    async def _judged(self, case: CaseAtWork | None, piece: _Piece) -> str:
        if case is None:
            return ""
        case = replace(case, answers=(*case.answers, piece.answer))
        view = await judge_case(self._cache.clients, case, is_cut=was_cut(piece.last))
        after = await conversation_of(self._cache.clients, case)
        replies = after.messages[last_answer(after) + 1 :]
        return render("playground/judgement", view=view, stop=after.stop, replies=replies)


def _emptied(num_areas: int, num_columns: int) -> str:
    """Return the function of the browser that shows the page as it begins."""
    hidden = {"__type__": "update", "visible": False}
    return f"() => {json.dumps([render('playground/empty'), *[''] * (num_areas - 1), *[hidden] * num_columns])}"


def _answer(view: Any, judged: str = "") -> str:
    return render("playground/answer", view=view, is_judged=bool(judged))
