"""The page Improve: test, train on what fails, test again, until the goals are met."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.feedback.v1.loop_pb2 import Budget, CancelLoopRequest, CreateLoopRequest, Goal, LoopSpec

from services.chassis.errors import InvalidArgument, ServiceError
from ui.comparisons.actions import compare_evaluations
from ui.evaluations.views import CAUSE_SENTENCES, sorted_causes
from ui.loops.actions import loop_progress, recent_loops
from ui.loops.views import LoopProgress
from ui.models.actions import read_models, read_suites
from ui.shared import parts
from ui.shared.charts import tool_rows
from ui.shared.desk import Desk, html_or_notice, notice, said
from ui.shared.environment import render
from ui.training_jobs.actions import read_training_job
from ui.training_jobs.views import CurveView


def build(desk: Desk) -> None:
    """Build the page."""
    parts.frame("Improve", "Test, train on what fails, test again with the same suite, until the goals are met.")
    page = _Page(desk)
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            model, suite, *numbers, start = _form()
            listed = parts.area("loops")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("loop-message")
            cancel = gr.Button(
                "Cancel this loop", visible=False, elem_id="loop-cancel", elem_classes="dy-cancel", size="sm"
            )
            loop = parts.area("loop", waits=True)
            change = parts.area("loop-change")
    areas = [listed, loop, change, cancel, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    loaded = parts.root().load(page.open, None, [model, suite, chosen], **quiet)
    loaded.then(page.refresh, [chosen, shown], areas, **quiet)
    gr.Timer(parts.TICK_SECONDS).tick(page.refresh, [chosen, shown], areas, **quiet)
    started = start.click(page.start, [model, suite, *numbers], [chosen, message], **quiet)
    started.then(page.refresh, [chosen, shown], areas, **quiet)
    listed.select(parts.picked, None, [chosen], **quiet).then(page.refresh, [chosen, shown], areas, **quiet)
    cancel.click(page.cancel, [chosen], [message], **quiet)


def _form() -> list[Any]:
    with gr.Column(elem_classes="dy-form"):
        model = gr.Dropdown([], label="Model", elem_id="loop-model")
        suite = gr.Dropdown([], label="Suite", elem_id="loop-suite")
        goal = gr.Slider(
            0, 1, value=0.8, step=0.01, label="Goal", info="Share of cases that conform.", elem_id="loop-goal"
        )
        with gr.Row():
            rounds = gr.Number(1, label="Rounds", precision=0, min_width=90, elem_id="loop-rounds")
            minutes = gr.Number(0, label="Minutes (0: any)", min_width=90, elem_id="loop-minutes")
        with gr.Row():
            examples = gr.Number(400, label="Examples", precision=0, min_width=90, elem_id="loop-examples")
            seed = gr.Number(1, label="Seed", precision=0, min_width=90, elem_id="loop-seed")
        start = gr.Button("Start improving", variant="primary", elem_id="loop-start")
    return [model, suite, goal, rounds, minutes, examples, seed, start]


class _Page:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def open(self, request: gr.Request) -> list[Any]:
        newest = ""
        try:
            versions = [one.model_version_id for one in await self._desk.read(read_models)]
            suites = [one.test_suite_version_id for one in await self._desk.read(read_suites)]
            newest = next((one.loop_id for one in await self._desk.read(recent_loops)), "")
        except ServiceError:
            versions, suites = [], []
        return [
            parts.choices(versions, parts.asked(request, "model")),
            parts.choices(suites, parts.asked(request, "suite")),
            parts.asked(request, "loop") or newest,
        ]

    async def start(self, model: str | None, suite: str | None, *numbers: float | None) -> list[Any]:
        try:
            request = CreateLoopRequest(spec=_spec(model, suite, *numbers))
            begun = (await self._desk.clients.feedback.CreateLoop(request)).loop
        except ServiceError as error:
            return [gr.skip(), notice(error)]
        self._desk.forget()
        return [begun.loop_id, said("The loop has begun.")]

    async def cancel(self, chosen: str) -> str:
        try:
            await self._desk.clients.feedback.CancelLoop(CancelLoopRequest(loop_id=chosen))
        except ServiceError as error:
            return notice(error)
        self._desk.forget()
        return said("The loop is being cancelled; what is registered is kept.", tone="warn")

    async def refresh(self, chosen: str, shown: dict[str, int]) -> list[Any]:
        listed = await html_or_notice(self._loops(chosen))
        try:
            one = await self._desk.read(loop_progress, chosen) if chosen else None
            html, change = render("loops/loop", one=one, curves=await self._curves(one)), await self._change(one)
        except ServiceError as error:
            one, html, change = None, notice(error), ""
        is_live = bool(one and not one.job.is_final)
        return [*parts.changed(shown, loops=listed, loop=html, change=change), gr.Button(visible=is_live), shown]

    async def _loops(self, chosen: str) -> str:
        return render("loops/loops", loops=await self._desk.read(recent_loops), picked=chosen)

    async def _curves(self, one: LoopProgress | None) -> tuple[CurveView, ...]:
        training = (
            next((step for step in one.steps if step.step == "train" and step.state == "live"), None) if one else None
        )
        if training is None or not training.resource_id:
            return ()
        return (await self._desk.read(read_training_job, training.resource_id)).curves

    async def _change(self, one: LoopProgress | None) -> str:
        done = [step for step in one.steps if step.step == "evaluate" and step.state == "done"] if one else []
        if len(done) < 2:
            return ""
        change = await self._desk.read(compare_evaluations, done[0].resource_id, done[-1].resource_id)
        return render(
            "comparisons/change",
            change=change,
            matrix=None,
            runs=None,
            categories=tool_rows(change.before.by_category, change.after.by_category),
            rows=tool_rows(change.before.by_tool, change.after.by_tool),
            causes=sorted_causes(change.before.by_cause, change.after.by_cause),
            sentences=CAUSE_SENTENCES,
        )


def _spec(model: str | None, suite: str | None, *numbers: float | None) -> LoopSpec:
    if not model or not suite:
        raise InvalidArgument("A model and a suite are needed.", "Choose both; models are imported on the page Models.")
    goal, rounds, minutes, examples, seed = numbers
    return LoopSpec(
        model_version_id=model,
        test_suite_version_id=suite,
        goals=[Goal(metric="conforming_rate", minimum=goal or 0.0)],
        budget=Budget(max_rounds=parts.whole(rounds), max_minutes=minutes or 0.0),
        num_examples=parts.whole(examples),
        seed=parts.whole(seed),
    )
