"""What the page shows, and what each control does."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.registry.v1.test_suite_pb2 import DeleteTestSuiteVersionRequest

from services.chassis.errors import ServiceError
from ui.gateway.uploads import Uploads
from ui.models.actions import read_suites
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.dependants import deleting
from ui.shared.environment import render
from ui.test_suites.actions import check_suite, read_case, read_suite, register_suite
from ui.test_suites.form import ImportForm, import_form

NUM_SHOWN = 100
ALL = "all"


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Test suites", "Fixed sets of cases that a model is tested on. A version never changes.")
    chosen, case_id, place, shown = gr.State(""), gr.State(""), gr.State(0), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            suites = parts.area("suites", waits=True)
            form = import_form()
            message = parts.area("suite-message")
        with gr.Column(scale=9, min_width=520):
            suite = parts.area("suite")
            case = parts.area("case")
            with gr.Row(elem_classes="dy-filters", visible=False) as filters:
                category = gr.Dropdown([ALL], value=ALL, label="Category", elem_id="suite-category")
                tool = gr.Dropdown([ALL], value=ALL, label="Tool", elem_id="suite-tool")
            cases = parts.area("cases")
    page = _Page(cache, form)
    inputs = [chosen, case_id, place, category, tool, shown]
    areas = [suites, suite, cases, case, filters, category, tool, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    parts.root().load(page.open, None, [chosen, case_id], **quiet).then(page.refresh, inputs, areas, **quiet)
    opened = suites.select(page.choose, None, [chosen, case_id, place], **quiet)
    opened.then(page.refresh, inputs, areas, **quiet)
    picked = cases.select(page.choose_case, [case_id, place], [case_id, place], **quiet)
    picked.then(page.refresh, inputs, areas, **quiet)
    changed = gr.on([category.input, tool.input], lambda: 0, None, [place], **quiet)
    changed.then(page.refresh, inputs, areas, **quiet)
    deleted = suite.select(page.delete, [chosen], [chosen, case_id, place, message], **quiet)
    deleted.then(page.refresh, inputs, areas, **quiet)
    form.check.click(page.check, form.components(), [message], **quiet)
    result = form.start.click(page.register, form.components(), [chosen, case_id, place, message], **quiet)
    result.then(page.refresh, inputs, areas, **quiet)


class _Page:
    def __init__(self, cache: ServiceCache, form: ImportForm) -> None:
        self._cache = cache
        self._form = form

    def open(self, request: gr.Request) -> list[str]:
        return [parts.query(request, "suite"), parts.query(request, "case")]

    def choose(self, event: gr.EventData) -> list[Any]:
        return [parts.picked(event), "", 0]

    def choose_case(self, case_id: str, place: int, event: gr.EventData) -> list[Any]:
        """Open the case that was clicked, or turn the page; `place` is the number of the first row."""
        turn = {"page:next": NUM_SHOWN, "page:previous": -NUM_SHOWN}.get(parts.picked(event))
        return [parts.picked(event), place] if turn is None else [case_id, max(0, place + turn)]

    async def check(self, values: dict[Any, Any]) -> str:
        return await html_or_notice(self._check(values), "suite")

    async def register(self, values: dict[Any, Any]) -> list[Any]:
        try:
            new = self._form.read(values)
            response = await register_suite(self._cache.clients, self._uploads(), new)
        except ServiceError as error:
            return [gr.skip(), gr.skip(), gr.skip(), notice(error, "suite")]
        self._cache.forget()
        name = response.test_suite_version.test_suite_version_id
        return [name, "", 0, done_notice(f"{name} is registered.", "Open it in the list, or test a model on it.")]

    async def delete(self, chosen: str) -> list[Any]:
        request = DeleteTestSuiteVersionRequest(test_suite_version_id=chosen)
        try:
            await deleting(lambda clients: clients.registry.DeleteTestSuiteVersion)(self._cache.clients, request)
        except ServiceError as error:
            return [gr.skip(), gr.skip(), gr.skip(), notice(error)]
        self._cache.forget()
        return ["", "", 0, done_notice(f"{chosen} is deleted.", tone="warn")]

    async def _check(self, values: dict[Any, Any]) -> str:
        new = self._form.read(values)
        result = await check_suite(self._cache.clients, self._uploads(), new)
        return render("test_suites/check", found=result)

    def _uploads(self) -> Uploads:
        uploads: Uploads = self._cache.app.state.uploads
        return uploads

    async def refresh(
        self, chosen: str, case_id: str, place: int, category: str, tool: str, shown: dict[str, int]
    ) -> list[Any]:
        request = ["" if name == ALL else name for name in (category, tool)]
        htmls = parts.changed(
            shown,
            suites=await html_or_notice(self._suites(chosen)),
            suite=await html_or_notice(self._suite(chosen)),
            cases=await html_or_notice(self._cases(chosen, request, case_id, place)),
            case=await html_or_notice(self._case(chosen, case_id)),
        )
        return [*htmls, *await self._filters(chosen, (category, tool), shown), shown]

    async def _suites(self, chosen: str) -> str:
        return render("test_suites/list", suites=await self._cache.read(read_suites), picked=chosen)

    async def _suite(self, chosen: str) -> str:
        if not chosen:
            return render("test_suites/suite", suite=None)
        return render("test_suites/suite", suite=await self._cache.read(read_suite, chosen))

    async def _cases(self, chosen: str, request: list[str], case_id: str, place: int) -> str:
        if not chosen:
            return ""
        result = (await self._cache.read(read_suite, chosen)).chosen(*request)
        shown = result[place : place + NUM_SHOWN]
        return render("test_suites/cases", cases=shown, first=place, num_all=len(result), picked=case_id)

    async def _case(self, chosen: str, case_id: str) -> str:
        if not chosen or not case_id:
            return ""
        return render("test_suites/case", suite=chosen, case=await self._cache.read(read_case, chosen, case_id))

    async def _filters(self, chosen: str, picked: tuple[str, str], shown: dict[str, int]) -> list[Any]:
        """Return the updates of the row of filters and of their choices."""
        try:
            suite = await self._cache.read(read_suite, chosen) if chosen else None
        except ServiceError:
            suite = None
        categories, tools = ([ALL, *suite.by_category], [ALL, *suite.by_tool]) if suite else ([ALL], [ALL])
        state = hash((chosen, *categories, *tools))
        if shown.get("filters") == state:
            return [gr.skip()] * 3
        shown["filters"] = state
        return [
            gr.Row(visible=suite is not None),
            gr.Dropdown(choices=categories, value=picked[0] if picked[0] in categories else ALL),
            gr.Dropdown(choices=tools, value=picked[1] if picked[1] in tools else ALL),
        ]
