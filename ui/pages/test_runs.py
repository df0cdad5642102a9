"""The page Test: run a model on a suite, watch it, and read why each answer failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from drillyard.test_runner.v1.test_run_pb2 import CancelTestRunRequest, CreateTestRunRequest, Sampling, TestRunSpec

from services.chassis.errors import InvalidArgument, ServiceError
from ui.actions import models, test_runs
from ui.actions.evaluations import compare_test_runs
from ui.markup.charts import tool_rows
from ui.markup.environment import render
from ui.pages import parts
from ui.pages.desk import Desk, html_or_notice, notice, said
from ui.views.evaluations import CAUSE_SENTENCES, sorted_causes
from ui.views.test_runs import TestRunView

NUM_SHOWN = 200
ALL, CONFORMING = "all", "conforms"


def build(desk: Desk) -> None:
    """Build the page."""
    parts.frame("Test", "Run a model on a fixed suite and see, case by case, why an answer fails.")
    page = _Page(desk)
    chosen, transcript_id, shown = gr.State(""), gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            form = _form()
            runs = parts.area("runs")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("test-message")
            run = parts.area("run", waits=True)
            with gr.Row(elem_classes="dy-filters", visible=False) as filters:
                tool = gr.Dropdown([ALL], value=ALL, label="Tool", elem_id="filter-tool")
                cause = gr.Dropdown([ALL], value=ALL, label="Verdict", elem_id="filter-cause")
                other = gr.Dropdown([], label="Compare with", elem_id="compare-with")
                cancel = gr.Button(
                    "Cancel this run", visible=False, elem_id="test-cancel", elem_classes="dy-cancel", size="sm"
                )
            change = parts.area("change")
            verdicts = parts.area("verdicts")
            transcript = parts.area("transcript")
    seen = [chosen, transcript_id, tool, cause, shown]
    areas = [runs, run, verdicts, transcript, filters, tool, cause, other, cancel, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    loaded = parts.root().load(page.open, None, [form.model, form.suite, chosen, transcript_id], **quiet)
    loaded.then(page.refresh, seen, areas, **quiet)
    gr.Timer(parts.TICK_SECONDS).tick(page.refresh, seen, areas, **quiet)
    started = form.start.click(page.start, form.fields(), [chosen, message], **quiet)
    started.then(page.refresh, seen, areas, **quiet)
    runs.select(page.choose_run, None, [chosen, transcript_id, change], **quiet).then(
        page.refresh, seen, areas, **quiet
    )
    verdicts.select(parts.picked, None, [transcript_id], **quiet).then(page.refresh, seen, areas, **quiet)
    gr.on([tool.input, cause.input], page.refresh, seen, areas, **quiet)
    other.input(page.compare, [other, chosen], [change], **quiet)
    cancel.click(page.cancel, [chosen], [message], **quiet)


@dataclass(frozen=True)
class _Form:
    model: gr.Dropdown
    suite: gr.Dropdown
    prompt_size: gr.Radio
    max_new_tokens: gr.Number
    temperature: gr.Slider
    repeats: gr.Number
    seed: gr.Number
    start: gr.Button

    def fields(self) -> list[Any]:
        return [
            self.model,
            self.suite,
            self.prompt_size,
            self.max_new_tokens,
            self.temperature,
            self.repeats,
            self.seed,
        ]


def _form() -> _Form:
    with gr.Column(elem_classes="dy-form"):
        model = gr.Dropdown([], label="Model", elem_id="test-model")
        suite = gr.Dropdown([], label="Suite", elem_id="test-suite")
        size = gr.Radio(["compact", "full"], value="compact", label="Prompt", elem_id="test-prompt-size")
        with gr.Accordion("Sampling", open=False, elem_id="test-sampling"):
            longest = gr.Number(192, label="Longest answer, in tokens", precision=0, elem_id="test-max-new-tokens")
            heat = gr.Slider(0, 2, value=0, step=0.1, label="Temperature, 0 is greedy", elem_id="test-temperature")
            repeats = gr.Number(1, label="Answers per case", precision=0, elem_id="test-repeats")
            seed = gr.Number(0, label="Seed", precision=0, elem_id="test-seed")
        start = gr.Button("Start the test", variant="primary", elem_id="test-start")
    return _Form(model, suite, size, longest, heat, repeats, seed, start)


class _Page:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [one.model_version_id for one in await self._desk.read(models.read_models)]
            suites = [one.test_suite_version_id for one in await self._desk.read(models.read_suites)]
        except ServiceError:
            versions, suites = [], []
        return [
            parts.choices(versions, parts.asked(request, "model")),
            parts.choices(suites, parts.asked(request, "suite")),
            parts.asked(request, "run"),
            parts.asked(request, "transcript"),
        ]

    async def start(self, *fields: Any) -> list[Any]:
        try:
            started = await test_runs.start_test_run(self._desk.clients, CreateTestRunRequest(spec=_spec(*fields)))
        except ServiceError as error:
            return [gr.skip(), notice(error)]
        self._desk.forget()
        return [started.test_run.test_run_id, said("The test has begun.")]

    def choose_run(self, event: gr.EventData) -> list[str]:
        return [parts.picked(event), "", ""]

    async def compare(self, other: str | None, chosen: str) -> str:
        if not other or not chosen:
            return ""
        return await html_or_notice(self._change(other, chosen))

    async def cancel(self, chosen: str) -> str:
        try:
            await self._desk.clients.test_runner.CancelTestRun(CancelTestRunRequest(test_run_id=chosen))
        except ServiceError as error:
            return notice(error)
        self._desk.forget()
        return said("The run is being cancelled; its answers are kept.", tone="warn")

    async def refresh(self, chosen: str, transcript_id: str, tool: str, cause: str, shown: dict[str, int]) -> list[Any]:
        runs = await html_or_notice(self._runs(chosen))
        try:
            run = await self._desk.read(test_runs.read_test_run, chosen) if chosen else None
        except ServiceError as error:
            return [*parts.changed(shown, runs=runs, run=notice(error)), *[gr.skip()] * 7, shown]
        htmls = parts.changed(
            shown,
            runs=runs,
            run=_run_html(run),
            verdicts=await html_or_notice(self._verdicts(run, tool, cause, transcript_id)),
            transcript=await html_or_notice(self._transcript(run, transcript_id)),
        )
        return [*htmls, *_filters(run, await self._others(run), (tool, cause), shown), shown]

    async def _others(self, run: TestRunView | None) -> list[tuple[str, str]]:
        if run is None:
            return []
        recent = await self._desk.read(test_runs.recent_test_runs)
        same_suite = [one for one in recent if one.test_suite_version_id == run.test_suite_version_id]
        return [(_label(one), one.test_run_id) for one in same_suite if one.test_run_id != run.test_run_id]

    async def _runs(self, chosen: str) -> str:
        return render("pages/test_runs", runs=await self._desk.read(test_runs.recent_test_runs), picked=chosen)

    async def _verdicts(self, run: TestRunView | None, tool: str, cause: str, transcript_id: str) -> str:
        if run is None or run.evaluation is None:
            return ""
        asked = {"tool": "" if tool == ALL else tool, "cause": {ALL: "", CONFORMING: "none"}.get(cause, cause)}
        found = await self._desk.read(test_runs.read_verdicts, run.evaluation.evaluation_id, **asked)
        return render("pages/verdicts", verdicts=found[:NUM_SHOWN], num_all=len(found), picked=transcript_id)

    async def _transcript(self, run: TestRunView | None, transcript_id: str) -> str:
        if run is None or run.evaluation is None or not transcript_id:
            return ""
        wanted = (run.evaluation.evaluation_id, transcript_id)
        return render("pages/transcript", view=await self._desk.read(test_runs.read_transcript, *wanted))

    async def _change(self, before: str, after: str) -> str:
        change = await compare_test_runs(self._desk.clients, before, after)
        return render(
            "pages/change",
            change=change,
            rows=tool_rows(change.before.by_tool, change.after.by_tool),
            causes=sorted_causes(change.before.by_cause, change.after.by_cause),
            sentences=CAUSE_SENTENCES,
        )


def _spec(
    model: str | None,
    suite: str | None,
    prompt_size: str,
    max_new_tokens: float | None,
    temperature: float,
    *rest: float | None,
) -> TestRunSpec:
    if not model or not suite:
        raise InvalidArgument("A model and a suite are needed.", "Choose both; models are imported on the page Models.")
    repeats, seed = rest
    return TestRunSpec(
        model_version_id=model,
        test_suite_version_id=suite,
        prompt_size=prompt_size,
        num_repeats=parts.whole(repeats, 1),
        seed=parts.whole(seed),
        sampling=Sampling(temperature=temperature, max_new_tokens=parts.whole(max_new_tokens)),
    )


def _run_html(run: TestRunView | None) -> str:
    rows = tool_rows(run.evaluation.metrics.by_tool) if run and run.evaluation else []
    return render("pages/test_run", run=run, rows=rows, sentences=CAUSE_SENTENCES)


def _filters(
    run: TestRunView | None, others: list[tuple[str, str]], chosen: tuple[str, str], shown: dict[str, int]
) -> list[Any]:
    """Return the updates of the row of filters, their choices, and the button that cancels."""
    metrics = run.evaluation.metrics if run and run.evaluation else None
    tools = [ALL, *(metrics.by_tool if metrics else ())]
    causes = [ALL, CONFORMING, *(metrics.by_cause if metrics else ())]
    is_live = bool(run and not run.job.is_final)
    state = hash((run.test_run_id if run else "", *tools, *causes, *others, is_live))
    if shown.get("filters") == state:
        return [gr.skip()] * 5
    shown["filters"] = state
    verdicts = [(one.replace("_", " "), one) for one in causes]
    return [
        gr.Row(visible=run is not None),
        gr.Dropdown(choices=tools, value=chosen[0] if chosen[0] in tools else ALL),
        gr.Dropdown(choices=verdicts, value=chosen[1] if chosen[1] in causes else ALL),
        gr.Dropdown(choices=others, visible=bool(others)),
        gr.Button(visible=is_live),
    ]


def _label(run: TestRunView) -> str:
    return f"{run.model_version_id} · {run.test_suite_version_id} · {run.job.created}"
