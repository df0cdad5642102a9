"""What the page shows, and what each control does."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.test_runner.v1 import test_run_pb2
from drillyard.test_runner.v1.test_run_pb2 import CreateTestRunRequest, TestRunSpec

from services.chassis.errors import ServiceError
from ui.evaluations.feedback.box import FeedbackBox
from ui.evaluations.views import CAUSE_SENTENCES, LAYER_SENTENCES
from ui.models.actions import read_models, read_suites
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render
from ui.test_runs.actions import (
    PAGE_SIZE,
    delete_test_run,
    judge_again,
    read_test_run,
    read_transcript,
    read_verdicts,
    recent_test_runs,
    start_test_run,
)
from ui.test_runs.filters import Filters, filters_row, verdict_filters
from ui.test_runs.form import RunForm, run_form
from ui.test_runs.views import TestRunView

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_SAID = {
    "pause": "The run pauses after the cases that it is at.",
    "resume": "The run goes on.",
    "cancel": "The run is being cancelled; its answers are kept.",
    "judge": "The run is being judged again.",
}


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Test runs", "Run a model on a fixed suite and see, case by case, why an answer fails.")
    chosen, transcript_id, shown, places = gr.State(""), gr.State(""), gr.State({}), gr.State([""])
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            form = run_form()
            runs = parts.area("runs")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("test-message")
            actions = parts.area("run-actions")
            run = parts.area("run", waits=True)
            filters = filters_row()
            verdicts = parts.area("verdicts")
            box = FeedbackBox(cache)
            transcript = parts.area("transcript")
    page = _Page(cache, form, box)
    inputs = [chosen, transcript_id, places, shown, *filters.fields()]
    areas = [runs, actions, run, verdicts, box.area, transcript, box.column, *filters.outputs(), shown]
    box.wire(transcript_id, message, page.refresh, inputs, areas)
    loaded = parts.root().load(page.open, None, [form.model, form.suite, chosen, transcript_id], **_QUIET)
    loaded.then(page.refresh, inputs, areas, **_QUIET)
    parts.keep_fresh(cache, page.refresh, inputs, areas)
    started = form.start.click(page.start, form.components(), [chosen, transcript_id, message], **_QUIET)
    started.then(page.refresh, inputs, areas, **_QUIET)
    acted = actions.select(page.act, [chosen], [chosen, message], **_QUIET)
    acted.then(page.refresh, inputs, areas, **_QUIET)
    opened = runs.select(page.choose_run, None, [chosen, transcript_id, places, message], **_QUIET)
    opened.then(page.refresh, inputs, areas, **_QUIET)
    picked = verdicts.select(page.choose_verdict, [transcript_id, places], [transcript_id, places], **_QUIET)
    picked.then(page.refresh, inputs, areas, **_QUIET)
    changed = gr.on([field.input for field in filters.fields()], lambda: [""], None, [places], **_QUIET)
    changed.then(page.refresh, inputs, areas, **_QUIET)


class _Page:
    def __init__(self, cache: ServiceCache, form: RunForm, box: FeedbackBox) -> None:
        self._cache = cache
        self._box = box
        self._form = form

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models)]
            suites = [suite.test_suite_version_id for suite in await self._cache.read(read_suites)]
        except ServiceError:
            versions, suites = [], []
        return [
            parts.choices(versions, parts.query(request, "model")),
            parts.choices(suites, parts.query(request, "suite")),
            parts.query(request, "run"),
            parts.query(request, "transcript"),
        ]

    async def start(self, values: dict[Any, Any]) -> list[Any]:
        try:
            request = CreateTestRunRequest(spec=self._form.spec(values))
            started = await start_test_run(self._cache.clients, request)
        except ServiceError as error:
            return [gr.skip(), gr.skip(), notice(error, "test")]
        self._cache.forget()
        return [started.test_run.test_run_id, "", done_notice("The test has begun.")]

    async def act(self, chosen: str, event: gr.EventData) -> list[Any]:
        verb = parts.picked(event)
        try:
            run_id = await self._act(verb, chosen)
        except ServiceError as error:
            return [gr.skip(), notice(error)]
        self._cache.forget()
        if verb == "repeat":
            return [run_id, done_notice("The run is being repeated.", "Compare says whether both answered the same.")]
        if verb == "delete":
            return ["", done_notice(f"The run {chosen} is deleted.", tone="warn")]
        if verb == "finish":
            return [run_id, done_notice("The cases without an answer are being asked.")]
        return [gr.skip(), done_notice(_SAID.get(verb, "Done."), tone="warn" if verb == "cancel" else "good")]

    async def _act(self, verb: str, chosen: str) -> str:
        runner = self._cache.clients.test_runner
        if verb in ("repeat", "finish"):
            spec = TestRunSpec(repeat_of_test_run_id=chosen, keep_answers=verb == "finish")
            started = await start_test_run(self._cache.clients, CreateTestRunRequest(spec=spec))
            return started.test_run.test_run_id
        if verb == "judge":
            await judge_again(self._cache.clients, chosen)
        elif verb == "pause":
            await runner.PauseTestRun(test_run_pb2.PauseTestRunRequest(test_run_id=chosen))
        elif verb == "resume":
            await runner.ResumeTestRun(test_run_pb2.ResumeTestRunRequest(test_run_id=chosen))
        elif verb == "delete":
            await delete_test_run(self._cache.clients, test_run_pb2.DeleteTestRunRequest(test_run_id=chosen))
        elif verb == "cancel":
            await runner.CancelTestRun(test_run_pb2.CancelTestRunRequest(test_run_id=chosen))
        return chosen

    def choose_run(self, event: gr.EventData) -> list[Any]:
        return [parts.picked(event), "", [""], ""]

    def choose_verdict(self, transcript_id: str, places: list[str], event: gr.EventData) -> list[Any]:
        """Open the transcript that was clicked, or turn the page: `places` are the tokens of all pages so far."""
        name, _, token = parts.picked(event).partition(" ")
        if name == "page:next":
            return [transcript_id, [*places, token]]
        if name == "page:previous":
            return [transcript_id, places[:-1] or [""]]
        return [parts.picked(event), places]

    async def refresh(
        self, chosen: str, transcript_id: str, places: list[str], shown: dict[str, int], *picked: str
    ) -> list[Any]:
        runs = await html_or_notice(self._runs(chosen))
        try:
            run = await self._cache.read(read_test_run, chosen) if chosen else None
        except ServiceError as error:
            htmls = parts.changed(shown, runs=runs, actions="", run=notice(error), verdicts="", box="", transcript="")
            return [*htmls, gr.skip(), *Filters.updates(None, picked, shown), shown]
        htmls = parts.changed(
            shown,
            runs=runs,
            actions=render("test_runs/actions", run=run),
            run=render("test_runs/run", run=run, causes=CAUSE_SENTENCES, layers=LAYER_SENTENCES),
            verdicts=await html_or_notice(self._verdicts(run, picked, places, transcript_id)),
            box=await html_or_notice(self._box.html(transcript_id if run else "")),
            transcript=await html_or_notice(self._transcript(run, transcript_id)),
        )
        return [*htmls, gr.Column(visible=bool(run and transcript_id)), *Filters.updates(run, picked, shown), shown]

    async def _runs(self, chosen: str) -> str:
        return render("test_runs/list", runs=await self._cache.read(recent_test_runs), picked=chosen)

    async def _verdicts(
        self, run: TestRunView | None, picked: tuple[str, ...], places: list[str], transcript_id: str
    ) -> str:
        if run is None or run.evaluation is None:
            return ""
        request = (run.evaluation.evaluation_id, verdict_filters(picked), places[-1])
        page = await self._cache.read(read_verdicts, *request)
        first = (len(places) - 1) * PAGE_SIZE
        return render("test_runs/verdicts", page=page, first=first, picked=transcript_id, is_live=not run.job.is_final)

    async def _transcript(self, run: TestRunView | None, transcript_id: str) -> str:
        if run is None or run.evaluation is None or not transcript_id:
            return ""
        request = (run.evaluation.evaluation_id, transcript_id)
        return render("test_runs/transcript", view=await self._cache.read(read_transcript, *request))
