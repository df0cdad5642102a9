"""The page of loops: test, train on what fails, test again, until the goals are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from drillyard.feedback.v1.loop_goal_pb2 import Goal
from drillyard.feedback.v1.loop_pb2 import CancelLoopRequest, CreateLoopRequest, DeleteLoopRequest, LoopSpec
from google.protobuf.json_format import ParseDict

from services.chassis.errors import InvalidArgument, ServiceError
from services.chassis.wire import fields_of
from ui.comparisons.actions import compare_evaluations
from ui.evaluations.views import CAUSE_SENTENCES, sorted_causes
from ui.loops.actions import loop_progress, recent_loops
from ui.loops.goals import GOAL_HELP, GUARDRAIL_HELP, goal_fields, guardrail_fields
from ui.loops.story import AnswerControls, Answers, Story
from ui.loops.views import LoopProgress
from ui.models.actions import read_models, read_suites
from ui.models.exports.forms import CHOICES, form_fields
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.charts import tool_rows
from ui.shared.environment import render
from ui.shared.fields import FieldForm, Values, text_of
from ui.training_jobs.actions import read_training_job
from ui.training_jobs.views import CurveView

_GOAL_FORMS = ("gguf:", "ollama:")


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Loops", "Test, train on what fails, test again with the same suite, until the goals are met.")
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            form = _form()
            listed = parts.area("loops")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("loop-message")
            cancel = gr.Button(
                "Cancel this loop", visible=False, elem_id="loop-cancel", elem_classes="dy-cancel", size="sm"
            )
            delete = gr.Button(
                "Delete this loop", visible=False, elem_id="loop-delete", elem_classes="dy-cancel", size="sm"
            )
            loop = parts.area("loop", waits=True)
            answer = AnswerControls.build()
            story = parts.area("loop-story")
            change = parts.area("loop-change")
    page = _Page(cache, form)
    areas = [listed, loop, story, change, cancel, delete, answer.row, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    loaded = parts.root().load(page.open, None, [form.model, form.suite, chosen], **quiet)
    loaded.then(page.refresh, [chosen, shown], areas, **quiet)
    parts.keep_fresh(cache, page.refresh, [chosen, shown], areas)
    started = form.start.click(page.start, form.components(), [chosen, message], **quiet)
    started.then(page.refresh, [chosen, shown], areas, **quiet)
    listed.select(parts.picked, None, [chosen], **quiet).then(page.refresh, [chosen, shown], areas, **quiet)
    for answered in answer.listen(Answers(cache), chosen, message):
        answered.then(page.refresh, [chosen, shown], areas, **quiet)
    cancel.click(page.cancel, [chosen], [message], **quiet)
    deleted = delete.click(page.delete, [chosen], [chosen, message], **quiet)
    deleted.then(page.refresh, [chosen, shown], areas, **quiet)


@dataclass(frozen=True)
class _Form:
    model: gr.Dropdown
    suite: gr.Dropdown
    goal: gr.Slider
    confidence: gr.Slider
    goals: gr.Textbox
    guardrails: gr.Textbox
    form: gr.Dropdown
    fields: FieldForm
    start: gr.Button

    def components(self) -> set[Any]:
        own = {self.model, self.suite, self.goal, self.confidence, self.goals, self.guardrails, self.form}
        return {*own, *self.fields.components.values()}

    def spec(self, values: Values) -> LoopSpec:
        model, suite = values[self.model], values[self.suite]
        if not model or not suite:
            field = "suite" if model else "model"
            next_step = "Choose both; models are imported on the page Models."
            raise InvalidArgument("A model and a suite are needed.", next_step, field=field)
        confidence = values[self.confidence] or 0.0
        goal = Goal(metric="conforming_rate", minimum=values[self.goal] or 0.0, confidence=confidence)
        spec = LoopSpec(model_version_id=model, test_suite_version_id=suite, goals=[goal])
        for line in text_of(values, self.goals).splitlines():
            ParseDict(goal_fields(line), spec.goals.add())
        for line in text_of(values, self.guardrails).splitlines():
            ParseDict(guardrail_fields(line), spec.guardrails.add())
        if form := text_of(values, self.form):
            ParseDict(form_fields(form), spec.goal_form)
        self.fields.fill(spec, values, "spec.")
        return spec


def _form() -> _Form:
    fields = FieldForm("loop", LoopSpec)
    with gr.Column(elem_classes="dy-form"):
        model = gr.Dropdown([], label="Model", elem_id="loop-model")
        suite = gr.Dropdown([], label="Suite", elem_id="loop-suite")
        goal = gr.Slider(
            0, 1, value=0.8, step=0.01, label="Goal", info="Share of cases that conform.", elem_id="loop-goal"
        )
        confidence = gr.Slider(
            0,
            0.99,
            value=0.95,
            step=0.01,
            label="Confidence",
            info="The lower end of the interval at this confidence must reach the goal; 0 for the share itself.",
            elem_id="loop-confidence",
        )
        form = gr.Dropdown(
            [("the version itself", ""), *(choice for choice in CHOICES if choice[1].startswith(_GOAL_FORMS))],
            value="",
            label="What has to meet it",
            info="The form in which it will be shipped.",
            allow_custom_value=True,
            elem_id="loop-goal-form",
        )
        fields.add("budget.max_rounds", "budget.max_minutes", "num_examples", "seed")
        goals, guardrails = _contract(fields)
        with gr.Accordion("Decisions", open=False, elem_id="loop-decisions"):
            fields.add("ask", "num_rollouts", "mixed_method", "candidate_alias")
            fields.add("search.num_trials", "search.trial_examples", "search.max_minutes")
        with gr.Accordion("Training", open=False, elem_id="loop-training"):
            names = ("num_epochs", "batch_size", "learning_rate", "max_tokens_per_pack", "lora.r", "lora.lora_alpha")
            fields.add(*(f"training.{name}" for name in names))
        for method, title in (("dpo", "Where it trains by DPO"), ("grpo", "Where it trains by GRPO")):
            with gr.Accordion(title, open=False, elem_id=f"loop-{method}"):
                prefix = f"training.{method}."
                fields.add(*(item.path for item in fields_of(LoopSpec) if item.path.startswith(prefix)))
        start = gr.Button("Start improving", variant="primary", elem_id="loop-start")
    return _Form(model, suite, goal, confidence, goals, guardrails, form, fields, start)


def _contract(fields: FieldForm) -> tuple[gr.Textbox, gr.Textbox]:
    """Build what few loops need of goals, guardrails and budget, and return the texts of goals and guardrails."""
    with gr.Accordion("Further goals, guardrails and budget", open=False, elem_id="loop-contract"):
        goals = gr.Textbox(label="Further goals, one a line", info=GOAL_HELP, lines=2, elem_id="loop-goals")
        label = "What must not be lost, one a line"
        guardrails = gr.Textbox(label=label, info=GUARDRAIL_HELP, lines=2, elem_id="loop-guardrails")
        fields.add(*(f"budget.{name}" for name in ("plateau_rounds", "max_tokens", "price_per_hour", "max_cost")))
        fields.add("num_repeats", "temperature")
    return goals, guardrails


def newest_version(suites: Sequence[str]) -> str:
    """Return the newest version of the suite that is offered first, which has most kinds of tasks to improve in."""
    name = next(iter(suites), "").partition("@")[0]
    versions = [suite for suite in suites if suite.partition("@")[0] == name]
    return max(versions, key=lambda suite: int(suite.partition("@")[2] or 0), default="")


class _Page:
    def __init__(self, cache: ServiceCache, form: _Form) -> None:
        self._cache = cache
        self._form = form
        self._story = Story(cache)

    async def open(self, request: gr.Request) -> list[Any]:
        newest = ""
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models) if model.is_trainable]
            suites = [suite.test_suite_version_id for suite in await self._cache.read(read_suites)]
            newest = next((loop.loop_id for loop in await self._cache.read(recent_loops)), "")
        except ServiceError:
            versions, suites = [], []
        return [
            parts.choices(versions, parts.query(request, "model")),
            parts.choices(suites, parts.query(request, "suite") or newest_version(suites)),
            parts.query(request, "loop") or newest,
        ]

    async def start(self, values: Values) -> list[Any]:
        try:
            request = CreateLoopRequest(spec=self._form.spec(values))
            begun = (await self._cache.clients.feedback.CreateLoop(request)).loop
        except ServiceError as error:
            return [gr.skip(), notice(error, "loop")]
        self._cache.forget()
        return [begun.loop_id, done_notice("The loop has begun.")]

    async def cancel(self, chosen: str) -> str:
        try:
            await self._cache.clients.feedback.CancelLoop(CancelLoopRequest(loop_id=chosen))
        except ServiceError as error:
            return notice(error)
        self._cache.forget()
        return done_notice("The loop is being cancelled; what is registered is kept.", tone="warn")

    async def delete(self, chosen: str) -> list[Any]:
        try:
            await self._cache.clients.feedback.DeleteLoop(DeleteLoopRequest(loop_id=chosen))
        except ServiceError as error:
            return [gr.skip(), notice(error)]
        self._cache.forget()
        return ["", done_notice(f"The loop {chosen} is deleted; what it made stays.", tone="warn")]

    async def refresh(self, chosen: str, shown: dict[str, int]) -> list[Any]:
        listed = await html_or_notice(self._loops(chosen))
        try:
            item = await self._cache.read(loop_progress, chosen) if chosen else None
            html, change = render("loops/loop", one=item, curves=await self._curves(item)), await self._change(item)
            story = await self._story.html(item)
        except ServiceError as error:
            item, html, story, change = None, notice(error), "", ""
        buttons = [gr.Button(visible=item is not None and item.job.is_final is ended) for ended in (False, True)]
        row = gr.Row(visible=item is not None and item.waiting is not None)
        return [*parts.changed(shown, loops=listed, loop=html, story=story, change=change), *buttons, row, shown]

    async def _loops(self, chosen: str) -> str:
        return render("loops/loops", loops=await self._cache.read(recent_loops), picked=chosen)

    async def _curves(self, item: LoopProgress | None) -> list[CurveView]:
        training = (
            next((step for step in item.steps if step.step == "train" and step.state == "live"), None) if item else None
        )
        if training is None or not training.resource_id:
            return []
        return (await self._cache.read(read_training_job, training.resource_id)).curves

    async def _change(self, item: LoopProgress | None) -> str:
        done = [step for step in item.steps if step.step == "evaluate" and step.state == "done"] if item else []
        if len(done) < 2:
            return ""
        change = await self._cache.read(compare_evaluations, done[0].resource_id, done[-1].resource_id)
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
