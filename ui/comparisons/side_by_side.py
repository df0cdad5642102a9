"""The part of the page that sets two to eight runs side by side, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from services.chassis.errors import InvalidArgument, ServiceError
from ui.comparisons.cases import MOST_RUNS, SideBySide, read_columns, read_side_by_side
from ui.comparisons.views import run_label
from ui.shared import parts
from ui.shared.cache import ServiceCache, html_or_notice, notice
from ui.shared.environment import render
from ui.test_runs.actions import recent_test_runs
from ui.test_runs.views import TestRunView

NUM_OFFERED = 60
_SIZE = 50
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class SideBySideBox:
    """The form in the left column; `build_result` makes where the cases and their answers come."""

    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache
        with gr.Column(elem_classes="dy-form"):
            self.runs = gr.Dropdown(
                [],
                multiselect=True,
                max_choices=MOST_RUNS,
                label="Several runs, case by case",
                info=f"Two to {MOST_RUNS} runs of one suite.",
                elem_id="compare-runs",
            )
            self.start = gr.Button("Set side by side", elem_id="compare-side-by-side")

    def build_result(self, result: gr.HTML) -> None:
        """Build the areas below `result`, which is emptied when runs are set side by side, and wire the events."""
        cases, columns, first = parts.area("compare-cases"), parts.area("compare-columns"), gr.State(0)
        parts.root().load(self.open, None, [self.runs, cases, columns], **_QUIET)
        asked = self.start.click(self.begin, None, [result, cases, columns, first], **_QUIET)
        asked.then(self.show, [self.runs], [cases], **_QUIET)
        cases.select(self.choose, [self.runs, first], [cases, columns, first], **_QUIET)

    async def open(self, request: gr.Request) -> list[Any]:
        """Offer the judged runs, and show those that the page's address names."""
        try:
            judged, zone = await self._judged(), parts.zone(request)
        except ServiceError as error:
            return [gr.skip(), notice(error), ""]
        known = [run.test_run_id for run in judged]
        chosen = [run_id for run_id in parts.query(request, "runs").split(",") if run_id in known]
        choices = gr.Dropdown(choices=[(run_label(run, zone), run.test_run_id) for run in judged], value=chosen)
        if len(chosen) < 2:
            return [choices, "", ""]
        case = parts.query(request, "case")
        columns = await html_or_notice(self._columns(chosen, case)) if case else ""
        return [choices, await html_or_notice(self._cases(chosen, 0, case)), columns]

    def begin(self) -> list[Any]:
        """Show that the cases are being read."""
        return ["", render("shared/loading"), "", 0]

    async def show(self, chosen: list[str] | None) -> str:
        """Show the cases of the chosen runs."""
        return await html_or_notice(self._cases(chosen or [], 0), "compare")

    async def choose(self, chosen: list[str] | None, first: int, event: gr.EventData) -> list[Any]:
        """Open the case that was clicked, or another page of them."""
        name, _, place = parts.picked(event).partition(":")
        if name == "page" and place.isdecimal():
            return [await html_or_notice(self._cases(chosen or [], int(place))), "", int(place)]
        case = parts.picked(event)
        cases = await html_or_notice(self._cases(chosen or [], first, case))
        return [cases, await html_or_notice(self._columns(chosen or [], case)), first]

    async def _cases(self, chosen: Sequence[str], first: int, picked: str = "") -> str:
        runs, cases = await self._read(chosen)
        rows = cases.rows[first : first + _SIZE]
        return render("comparisons/cases", runs=runs, cases=cases, rows=rows, first=first, size=_SIZE, picked=picked)

    async def _columns(self, chosen: Sequence[str], case: str) -> str:
        runs, cases = await self._read(chosen)
        columns = await read_columns(self._cache.clients, cases, case)
        return render("comparisons/columns", columns=list(zip(runs, columns, strict=False)))

    async def _read(self, chosen: Sequence[str]) -> tuple[list[TestRunView], SideBySide]:
        by_id = {run.test_run_id: run for run in await self._judged()}
        runs = [by_id[run_id] for run_id in chosen if run_id in by_id]
        if len({run.test_suite_version_id for run in runs}) > 1:
            raise InvalidArgument("These runs are of different suites.", "Choose runs of one suite.", field="runs")
        return runs, await self._cache.read(read_side_by_side, tuple(run.test_run_id for run in runs))

    async def _judged(self) -> list[TestRunView]:
        runs = await self._cache.read(recent_test_runs, NUM_OFFERED)
        return [run for run in runs if run.evaluation and run.evaluation.job.state == "succeeded"]
