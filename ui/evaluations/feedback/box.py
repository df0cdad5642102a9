"""What a person says of the answer that is open, beside it: buttons and keys."""

from __future__ import annotations

from typing import Any, TypeAlias

import gradio as gr
from drillyard.feedback.v1.feedback_item_pb2 import (
    CreateFeedbackItemRequest,
    FeedbackItemSpec,
    ListFeedbackItemsRequest,
    WithdrawFeedbackItemRequest,
)

from services.chassis.errors import ServiceError
from ui.evaluations.feedback.answers import messages_of
from ui.evaluations.feedback.words import verdict_words, what_is_said
from ui.gateway.clients import Clients
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, notice
from ui.shared.documents import Document, document, message_of
from ui.shared.environment import render

# Without a field in focus: j and k open the next and the previous answer, 1 to 5 rate it, c and p write another one.
_KEYS = """
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest('input, textarea, [contenteditable]')) return;
  const step = {j: 1, k: -1}[event.key];
  if (step) {
    const rows = [...document.querySelectorAll('#verdicts tr[data-select]')];
    const open = rows.findIndex((row) => row.classList.contains('picked'));
    rows[Math.min(Math.max(open + step, 0), rows.length - 1)]?.click();
  } else if ('12345'.includes(event.key)) {
    document.querySelector(`#feedback-box [data-select="stars ${event.key}"]`)?.click();
  } else if ('cp'.includes(event.key)) {
    const field = document.querySelector('#feedback-text textarea');
    if (!field) return;
    event.preventDefault();
    field.focus();
  }
});
"""
Subject: TypeAlias = str | Document
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_SAVES = {"correction": "Correct", "better": "Better answer", "worse": "Worse answer", "tag": "Tag", "note": "Note"}


async def read_items(clients: Clients, transcript_id: str) -> list[Document]:
    """Return what is said of a transcript, the newest first."""
    request = ListFeedbackItemsRequest(transcript_id=transcript_id, page_size=20)
    items = (await clients.feedback.ListFeedbackItems(request)).feedback_items
    return [item_view(document(item)) for item in items]


def item_view(item: Document) -> Document:
    """Return an item with its words."""
    unset = dict.fromkeys(("verdict", "proposal_verdict", "withdraw_time"))
    return {**unset, **item, "says": what_is_said(item), "judge": verdict_words(item.get("verdict"))}


class FeedbackBox:
    """Buttons that rate an answer, and a field for the right or another answer, a tag or a note.

    What it is about is a state: the id of a transcript, or the spec of an item on an answer that is not stored.
    """

    def __init__(self, cache: ServiceCache, *, has_turns: bool = True) -> None:
        self._cache = cache
        self.area = parts.area("feedback-box")
        with gr.Column(visible=False, elem_classes="dy-form", elem_id="feedback-form") as self.column:
            with gr.Row():
                number: dict[str, Any] = {"precision": 0, "minimum": 0, "scale": 1, "visible": has_turns}
                self.turn = gr.Number(0, label="Answer, from 0", elem_id="feedback-turn", **number)
                self.author = gr.Textbox("", label="You", scale=3, max_length=100, elem_id="feedback-author")
            self.text = gr.Textbox(
                label="The right or another answer, a tag or a note",
                info="Keys: j and k turn over, 1 to 5 rate, c and p write here. A correction is judged at once.",
                lines=4,
                max_length=200_000,
                elem_id="feedback-text",
            )
            with gr.Row():
                self._buttons = {
                    name: gr.Button(label, size="sm", min_width=90, elem_id=f"feedback-{name}")
                    for name, label in _SAVES.items()
                }

    def wire(self, subject: gr.State, message: gr.HTML, refresh: Any, seen: list[Any], areas: list[Any]) -> None:
        """Connect the buttons; what is stored is shown by `refresh`."""
        parts.root().load(None, None, None, js=f"() => {{ {_KEYS} }}")
        fields = [subject, self.turn, self.author, self.text]
        rated = self.area.select(self._rate, fields, [message], **_QUIET)
        rated.then(refresh, seen, areas, **_QUIET)
        for name, button in self._buttons.items():
            saved = button.click(self._saver(name), fields, [message, self.text], **_QUIET)
            saved.then(refresh, seen, areas, **_QUIET)

    async def html(self, subject: Subject) -> str:
        """Return the rating buttons, and what is said already of a transcript."""
        if not subject:
            return ""
        items = await self._cache.read(read_items, subject) if isinstance(subject, str) else []
        return render("feedback/box", items=items)

    async def _rate(self, subject: Subject, turn: float, author: str, text: str, event: gr.EventData) -> str:
        verb, _, value = parts.picked(event).partition(" ")
        if verb == "withdraw":
            return await withdrawn(self._cache, value)
        rating = {"value": int(value), "scale": f"RATING_SCALE_{verb.upper()}"}
        return (await self._said(subject, turn, author, rating=rating))[0]

    def _saver(self, name: str) -> Any:
        async def save(subject: Subject, turn: float, author: str, text: str) -> list[Any]:
            html, is_settled = await self._said(subject, turn, author, **_said(name, text))
            return [html, "" if is_settled else gr.skip()]

        return save

    async def _said(self, subject: Subject, turn: float, author: str, **said: Any) -> tuple[str, bool]:
        """Store an item; return a notice, and whether the text may go: it stays when it needs another try."""
        about = {"transcript_id": subject, "turn": int(turn or 0)} if isinstance(subject, str) else subject
        body = {**about, "author": author or "", **said}
        try:
            spec = message_of(FeedbackItemSpec, body)
            item = (
                await self._cache.clients.feedback.CreateFeedbackItem(CreateFeedbackItemRequest(spec=spec))
            ).feedback_item
        except ServiceError as error:
            return notice(error, "feedback"), False
        self._cache.forget()
        if not item.HasField("proposal_verdict"):
            return done_notice("It is kept."), True
        verdict = item.proposal_verdict
        if verdict.conforming:
            return done_notice("It is kept: the proposed answer conforms."), True
        problem = "It is kept, and never trained: the proposed answer does not conform."
        return done_notice(problem, verdict.sentence, "warn"), False


def _said(name: str, text: str) -> Document:
    if name == "correction":
        return {"correction": {"answers": messages_of(text)}}
    if name in ("better", "worse"):
        return {"preference": {"chosen" if name == "better" else "rejected": messages_of(text)[0]}}
    return {name: text.strip()}


async def withdrawn(cache: ServiceCache, feedback_item_id: str) -> str:
    """Withdraw an item and return the sentence that says so."""
    try:
        await cache.clients.feedback.WithdrawFeedbackItem(
            WithdrawFeedbackItemRequest(feedback_item_id=feedback_item_id)
        )
    except ServiceError as error:
        return notice(error)
    cache.forget()
    return done_notice("The item is withdrawn; datasets that are built from now on do not have it.", tone="warn")
