"""The page of feedback: all that people said, with filters, and how far they agree with the judge."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.feedback.v1.agreement_pb2 import MeasureAgreementRequest
from drillyard.feedback.v1.feedback_item_pb2 import (
    FeedbackKind,
    FeedbackUse,
    GetFeedbackItemRequest,
    ListFeedbackItemsRequest,
)

from services.chassis.errors import ServiceError
from ui.evaluations.feedback.box import item_view, withdrawn
from ui.evaluations.feedback.import_box import ImportBox
from ui.gateway.clients import Clients
from ui.shared import parts
from ui.shared.cache import ServiceCache, html_or_notice, notice
from ui.shared.documents import Document, document, message_of
from ui.shared.environment import render

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_PAGE_SIZE = 50
_TEXTS = (("model_version_id", "Model"), ("tool", "Tool"), ("tag", "Tag"), ("author", "Author"))
_FLAGS = (
    ("disagrees", "Differs from the judge"),
    ("is_contradicted", "Contradicted"),
    ("withdrawn_too", "Withdrawn too"),
)


async def read_inbox(clients: Clients, names: tuple[str, ...], values: tuple[Any, ...], token: str) -> Document:
    """Return a page of the items that the filters let through."""
    filters = {name: value for name, value in zip(names, values, strict=True) if value}
    request = message_of(ListFeedbackItemsRequest, {**filters, "page_size": _PAGE_SIZE, "page_token": token})
    page = document(await clients.feedback.ListFeedbackItems(request))
    return {**page, "feedback_items": [item_view(item) for item in page["feedback_items"]]}


async def read_agreement(clients: Clients, model_version_id: str, author: str) -> str:
    """Return the sentence on how far people and the judge agree."""
    request = MeasureAgreementRequest(model_version_id=model_version_id, author=author)
    return (await clients.feedback.MeasureAgreement(request)).agreement.sentence


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Feedback", "What people say of answers, what the judge says of it, and which dataset has it.")
    chosen, places, shown = gr.State(""), gr.State([""]), gr.State({})
    fields = _filters()
    message = parts.area("feedback-message")
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=420):
            inbox = parts.area("inbox", waits=True)
        with gr.Column(scale=6, min_width=380):
            item = parts.area("feedback-item")
            imports = ImportBox(cache)
    page = _Page(cache, tuple(fields), imports)
    seen, areas = [chosen, places, shown, *fields.values()], [imports.imports, inbox, item, shown]
    parts.root().load(page.open, None, [chosen], **_QUIET).then(page.refresh, seen, areas, **_QUIET)
    parts.keep_fresh(cache, page.refresh, seen, areas, seconds=2 * parts.TICK_SECONDS)
    picked = inbox.select(page.choose, [chosen, places], [chosen, places], **_QUIET)
    picked.then(page.refresh, seen, areas, **_QUIET)
    changes = [field.change for field in fields.values()]
    gr.on(changes, lambda: [""], None, [places], **_QUIET).then(page.refresh, seen, areas, **_QUIET)
    imports.wire(page.refresh, seen, areas)
    item.select(page.withdraw, None, [message], **_QUIET).then(page.refresh, seen, areas, **_QUIET)


def _filters() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    with gr.Column(elem_classes="dy-form"):
        with gr.Row():
            fields["kind"] = _choice(FeedbackKind, "Kind")
            for name, label in _TEXTS:
                fields[name] = gr.Textbox("", label=label, min_width=120, max_length=200, elem_id=f"feedback-{name}")
            fields["use"] = _choice(FeedbackUse, "In a dataset")
        with gr.Row():
            for name, label in _FLAGS:
                fields[name] = gr.Checkbox(False, label=label, min_width=150, elem_id=f"feedback-{name}")
    return fields


def _choice(enum: Any, label: str) -> gr.Dropdown:
    names = [(name.rpartition("_")[2].lower(), name) for name, number in enum.items() if number]
    return gr.Dropdown([("all", ""), *names], value="", label=label, min_width=120)


class _Page:
    def __init__(self, cache: ServiceCache, names: tuple[str, ...], imports: ImportBox) -> None:
        self._cache = cache
        self._names = names
        self._imports = imports

    def open(self, request: gr.Request) -> str:
        return parts.query(request, "item")

    def choose(self, chosen: str, places: list[str], event: gr.EventData) -> list[Any]:
        name, _, token = parts.picked(event).partition(" ")
        if name == "page:next":
            return [chosen, [*places, token]]
        if name == "page:previous":
            return [chosen, places[:-1] or [""]]
        return [name, places]

    async def withdraw(self, event: gr.EventData) -> str:
        return await withdrawn(self._cache, parts.picked(event))

    async def refresh(self, chosen: str, places: list[str], shown: dict[str, int], *values: Any) -> list[Any]:
        imports = await html_or_notice(self._imports.html())
        inbox = await html_or_notice(self._inbox(chosen, places, values))
        try:
            html = await self._item(chosen)
        except ServiceError as error:
            html = notice(error)
        return [*parts.changed(shown, imports=imports, inbox=inbox, item=html), shown]

    async def _inbox(self, chosen: str, places: list[str], values: tuple[Any, ...]) -> str:
        filters = dict(zip(self._names, values, strict=True))
        page = await self._cache.read(read_inbox, self._names, values, places[-1])
        sentence = await self._cache.read(read_agreement, filters["model_version_id"], filters["author"])
        first = (len(places) - 1) * _PAGE_SIZE
        return render("feedback/inbox", page=page, picked=chosen, agreement=sentence, first=first)

    async def _item(self, chosen: str) -> str:
        if not chosen:
            return render("feedback/item", item=None)
        request = GetFeedbackItemRequest(feedback_item_id=chosen)
        item = (await self._cache.clients.feedback.GetFeedbackItem(request)).feedback_item
        proposed = [*item.correction.answers, *([item.preference.chosen] if item.HasField("preference") else [])]
        return render("feedback/item", item=item_view(document(item)), proposed=proposed, messages=item.messages)
