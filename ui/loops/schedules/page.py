"""The page of schedules: what is watched, when it is due, and what was made of each due time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
from drillyard.feedback.v1.loop_goal_pb2 import Goal
from drillyard.feedback.v1.schedule_pb2 import (
    BROKEN_GOAL_ACTION_START_LOOP,
    CreateScheduleRequest,
    DeleteScheduleRequest,
    PauseScheduleRequest,
    ResumeScheduleRequest,
    ScheduleSpec,
)
from drillyard.feedback.v1.scheduled_run_pb2 import RunScheduleRequest
from google.protobuf.json_format import ParseDict

from services.chassis.errors import InvalidArgument, ServiceError
from ui.loops.goals import GOAL_HELP, goal_fields
from ui.loops.page import newest_version
from ui.loops.schedules.actions import read_alias_ids, read_schedule, read_schedules
from ui.models.actions import read_models, read_suites
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render
from ui.shared.fields import FieldForm, Values, text_of

_BUDGET = ("max_runs", "max_loops", "max_minutes", "max_cost", "price_per_hour", "period_days")
_VERBS = {"pause": "Pause", "resume": "Resume", "run": "Run now", "delete": "Delete"}


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Schedules", "A suite again and again on what is served, and what happens when it misses a goal.")
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            form = _Form()
            listed = parts.area("schedules")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("schedule-message")
            with gr.Row():
                buttons = [
                    gr.Button(words, visible=False, elem_id=f"schedule-{verb}", size="sm")
                    for verb, words in _VERBS.items()
                ]
            schedule = parts.area("schedule", waits=True)
    page = _Page(cache, form)
    areas = [listed, schedule, *buttons, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    loaded = parts.root().load(page.open, None, [form.model, form.suite, chosen], **quiet)
    loaded.then(page.refresh, [chosen, shown], areas, **quiet)
    parts.keep_fresh(cache, page.refresh, [chosen, shown], areas)
    created = form.create.click(page.create, form.components(), [chosen, message], **quiet)
    created.then(page.refresh, [chosen, shown], areas, **quiet)
    listed.select(parts.picked, None, [chosen], **quiet).then(page.refresh, [chosen, shown], areas, **quiet)
    for verb, button in zip(_VERBS, buttons, strict=True):
        steered = button.click(page.steering(verb), [chosen], [chosen, message], **quiet)
        steered.then(page.refresh, [chosen, shown], areas, **quiet)


class _Form:
    """What a schedule is created with."""

    def __init__(self) -> None:
        self.fields = FieldForm("schedule", ScheduleSpec)
        with gr.Column(elem_classes="dy-form"):
            self.model = gr.Dropdown([], label="Alias or version", allow_custom_value=True, elem_id="schedule-model")
            self.suite = gr.Dropdown([], label="Suite", elem_id="schedule-suite")
            self.goals = gr.Textbox(
                "conforming_rate>=0.8", label="Goals, one a line", info=GOAL_HELP, lines=2, elem_id="schedule-goals"
            )
            self.fields.add("every_hours", "daily_time", "time_zone", "on_broken_goal")
            with gr.Accordion("Budget", open=False, elem_id="schedule-budget"):
                self.fields.add(*(f"budget.{name}" for name in _BUDGET))
            with gr.Accordion("The loop to start", open=False, elem_id="schedule-loop"):
                self.fields.add("loop.budget.max_rounds", "loop.budget.max_minutes", "loop.num_examples")
            self.create = gr.Button("Watch", variant="primary", elem_id="schedule-create")

    def components(self) -> set[Any]:
        return {self.model, self.suite, self.goals, *self.fields.components.values()}

    def spec(self, values: Values) -> ScheduleSpec:
        model, suite = values[self.model], values[self.suite]
        if not model or not suite:
            field = "suite" if model else "model"
            raise InvalidArgument("What is watched and a suite are needed.", "Choose both.", field=field)
        spec = ScheduleSpec(model_version_id=model, test_suite_version_id=suite)
        for line in text_of(values, self.goals).splitlines():
            spec.goals.append(ParseDict(goal_fields(line), Goal()))
        self.fields.fill(spec, values, "spec.", leaving_out="loop.")
        if spec.on_broken_goal == BROKEN_GOAL_ACTION_START_LOOP:
            self.fields.fill(spec, values, "spec.")
        return spec


class _Page:
    def __init__(self, cache: ServiceCache, form: _Form) -> None:
        self._cache = cache
        self._form = form

    async def open(self, request: gr.Request) -> list[Any]:
        newest = ""
        try:
            names = await self._cache.read(read_alias_ids)
            names = [*names, *(model.model_version_id for model in await self._cache.read(read_models))]
            suites = [suite.test_suite_version_id for suite in await self._cache.read(read_suites)]
            newest = next((item.schedule_id for item in await self._cache.read(read_schedules)), "")
        except ServiceError:
            names, suites = [], []
        return [
            parts.choices(names, parts.query(request, "model")),
            parts.choices(suites, parts.query(request, "suite") or newest_version(suites)),
            parts.query(request, "schedule") or newest,
        ]

    async def create(self, values: Values) -> list[Any]:
        try:
            request = CreateScheduleRequest(spec=self._form.spec(values))
            made = (await self._cache.clients.feedback.CreateSchedule(request)).schedule
        except ServiceError as error:
            return [gr.skip(), notice(error, "schedule")]
        self._cache.forget()
        return [made.schedule_id, done_notice("It is watched from now on.")]

    def steering(self, verb: str) -> Callable[[str], Awaitable[list[Any]]]:
        """Return what a button does."""

        async def steer(chosen: str) -> list[Any]:
            try:
                await self._steer(verb, chosen)
            except ServiceError as error:
                return [gr.skip(), notice(error)]
            self._cache.forget()
            done = {"pause": "It is paused.", "resume": "It is watched again.", "run": "A run has begun."}
            return ["" if verb == "delete" else chosen, done_notice(done.get(verb, "The schedule is deleted."))]

        return steer

    async def refresh(self, chosen: str, shown: dict[str, int]) -> list[Any]:
        listed = await html_or_notice(self._schedules(chosen))
        try:
            item = await self._cache.read(read_schedule, chosen) if chosen else None
            html = render("schedules/schedule", one=item)
        except ServiceError as error:
            item, html = None, notice(error)
        hidden = {"pause": item and item.is_paused, "resume": item and not item.is_paused}
        buttons = [gr.Button(visible=item is not None and not hidden.get(verb)) for verb in _VERBS]
        return [*parts.changed(shown, schedules=listed, schedule=html), *buttons, shown]

    async def _schedules(self, chosen: str) -> str:
        return render("schedules/schedules", schedules=await self._cache.read(read_schedules), picked=chosen)

    async def _steer(self, verb: str, schedule_id: str) -> None:
        feedback = self._cache.clients.feedback
        if verb == "pause":
            await feedback.PauseSchedule(PauseScheduleRequest(schedule_id=schedule_id))
        elif verb == "resume":
            await feedback.ResumeSchedule(ResumeScheduleRequest(schedule_id=schedule_id))
        elif verb == "run":
            await feedback.RunSchedule(RunScheduleRequest(schedule_id=schedule_id))
        else:
            await feedback.DeleteSchedule(DeleteScheduleRequest(schedule_id=schedule_id))
