"""The page of comparisons: what a later run gained and lost, whether forms answer the same, several case by case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from services.chassis.errors import InvalidArgument, ServiceError
from ui.comparisons.actions import cause_matrix, check_parity, compare_test_runs
from ui.comparisons.side_by_side import NUM_OFFERED, SideBySideBox
from ui.comparisons.views import run_label, why_incomparable
from ui.evaluations.views import CAUSE_SENTENCES, sorted_causes
from ui.shared import parts
from ui.shared.cache import ServiceCache, html_or_notice
from ui.shared.charts import tool_rows
from ui.shared.environment import render
from ui.test_runs.actions import recent_test_runs
from ui.test_runs.views import TestRunView

PROGRESS, PARITY = "What was gained and lost", "Whether two forms answer the same"


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame(
        "Comparisons", "Set two runs of one suite side by side: before and after training, or two forms of a model."
    )
    page = _Page(cache)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            with gr.Column(elem_classes="dy-form"):
                question = gr.Radio([PROGRESS, PARITY], value=PROGRESS, label="Question", elem_id="compare-question")
                before = gr.Dropdown([], label="Before, or the one form", elem_id="compare-before")
                after = gr.Dropdown(
                    [],
                    label="After, or the other form",
                    info="Only runs that can be compared.",
                    elem_id="compare-after",
                )
                start = gr.Button("Compare", variant="primary", elem_id="compare-start")
            refused = parts.area("compare-refused")
            several = SideBySideBox(cache)
        with gr.Column(scale=9, min_width=520):
            result = parts.area("comparison", waits=True)
            several.build_result(result)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    chosen = [question, before, after]
    parts.root().load(page.open, None, [*chosen, refused, result], **quiet)
    gr.on([question.input, before.input], page.offer, chosen, [after, refused], **quiet)
    request = start.click(lambda: render("shared/loading"), None, [result], **quiet)
    request.then(page.compare, chosen, [result], **quiet)


class _Page:
    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache

    async def open(self, request: gr.Request) -> list[Any]:
        question = PARITY if parts.query(request, "form") == "parity" else PROGRESS
        before, after = (parts.query(request, name) for name in ("before", "after"))
        runs, zone = await self._runs(), parts.zone(request)
        if not any(run.test_run_id == before for run in runs):
            before, after = _newest_pair(runs)
        choices = [(run_label(run, zone), run.test_run_id) for run in runs]
        offered, refused = await self.offer(question, before, after, request)
        result = "" if parts.query(request, "runs") else render("comparisons/empty", num_runs=len(runs))
        if parts.query(request, "after"):
            result = await self.compare(question, before, after)
        return [question, gr.Dropdown(choices=choices, value=before or None), offered, refused, result]

    async def offer(self, question: str, before: str | None, after: str | None, request: gr.Request) -> list[Any]:
        """Return the runs that can be set beside `before`, and why the others cannot."""
        runs, zone = await self._runs(), parts.zone(request)
        item = next((run for run in runs if run.test_run_id == before), None)
        if item is None:
            return [gr.Dropdown(choices=[], value=None), ""]
        others = [run for run in runs if run.test_run_id != before]
        reasons = {run.test_run_id: why_incomparable(item, run, as_forms=question == PARITY) for run in others}
        fitting = [run for run in others if not reasons[run.test_run_id]]
        values = [run.test_run_id for run in fitting]
        refused = [(run_label(run, zone), reasons[run.test_run_id]) for run in others if reasons[run.test_run_id]]
        return [
            gr.Dropdown(
                choices=[(run_label(run, zone), run.test_run_id) for run in fitting],
                value=after if after in values else next(iter(values), None),
            ),
            render("comparisons/refused", refused=refused, num_fitting=len(fitting)),
        ]

    async def compare(self, question: str, before: str | None, after: str | None) -> str:
        making = self._parity if question == PARITY else self._change
        return await html_or_notice(making(before or "", after or ""), "compare")

    async def _change(self, before: str, after: str) -> str:
        _check_chosen(before, after)
        change = await compare_test_runs(self._cache.clients, before, after)
        matrix = await cause_matrix(self._cache.clients, *change.evaluation_ids)
        return render(
            "comparisons/change",
            change=change,
            matrix=matrix,
            rows=tool_rows(change.before.by_tool, change.after.by_tool),
            categories=tool_rows(change.before.by_category, change.after.by_category),
            causes=sorted_causes(change.before.by_cause, change.after.by_cause),
            sentences=CAUSE_SENTENCES,
            runs=(before, after),
        )

    async def _parity(self, before: str, after: str) -> str:
        _check_chosen(before, after)
        parity = await check_parity(self._cache.clients, before, after)
        return render("comparisons/parity", parity=parity, runs=(before, after))

    async def _runs(self) -> list[TestRunView]:
        try:
            return await self._cache.read(recent_test_runs, NUM_OFFERED)
        except ServiceError:
            return []


def _check_chosen(before: str, after: str) -> None:
    if not before or not after:
        field = "after" if before else "before"
        raise InvalidArgument(
            f"There is no run {field}.",
            "Run the same suite twice on the page Test runs, then choose both runs.",
            field=field,
        )


def _newest_pair(runs: Sequence[TestRunView]) -> tuple[str, str]:
    """Return the newest run that an older one can be set beside, and that older one in front of it."""
    for place, after in enumerate(runs):
        for before in runs[place + 1 :]:
            if not why_incomparable(before, after):
                return before.test_run_id, after.test_run_id
    return (runs[0].test_run_id if runs else "", "")
