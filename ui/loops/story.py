"""The part of the page of loops that tells a loop's story, and takes a person's answer to what it decided."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import gradio as gr
from drillyard.feedback.v1.loop_answer_pb2 import DecideLoopRequest, DecisionChange
from drillyard.trainer.v1.method_pb2 import TrainingMethod

from services.chassis.errors import FailedPrecondition, NotFound, ServiceError
from services.chassis.wire.fields import label_of
from ui.loops.actions import loop_progress
from ui.loops.views import LoopProgress
from ui.shared.cache import ServiceCache, done_notice, notice
from ui.shared.environment import render
from ui.training_jobs.actions import read_training_job
from ui.training_jobs.datasets.page import read_mix
from ui.training_jobs.views import CurveView

_MOST_MIXES = 500


class Answers:
    """Tells a loop what a person says to the decision that it waits with."""

    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache

    async def approve(self, chosen: str, _method: str) -> str:
        """Let it go on as it decided, and return what is shown of that."""
        return await self._answer(chosen, "", "The loop goes on as it decided.")

    async def decide(self, chosen: str, method: str) -> str:
        """Let it train by another method, or go on where it would stop, and return what is shown of that."""
        return await self._answer(chosen, method, "The loop goes on as you decided.")

    async def _answer(self, chosen: str, method: str, sentence: str) -> str:
        try:
            decision = (await self._cache.read(loop_progress, chosen)).waiting
            if decision is None:
                raise FailedPrecondition("The loop waits for nobody now.", "Wait for what it decides next.")
            number = TrainingMethod.Value(method or "TRAINING_METHOD_UNSPECIFIED")
            change = DecisionChange(go_on=bool(method)) if decision.is_stop else DecisionChange(method=number)
            # With its number, so that a second click answers no later decision.
            request = DecideLoopRequest(loop_id=chosen, number=decision.number, change=change)
            await self._cache.clients.feedback.DecideLoop(request)
        except ServiceError as error:
            return notice(error, "loop")
        self._cache.forget()
        return done_notice(sentence)


@dataclass(frozen=True)
class AnswerControls:
    """What a person can say to a decision that waits for one."""

    row: gr.Row
    method: gr.Dropdown
    approve: gr.Button
    decide: gr.Button

    @classmethod
    def build(cls) -> AnswerControls:
        """Build them, hidden."""
        methods = [value for value in TrainingMethod.values() if value]
        with gr.Row(visible=False, elem_id="loop-answer") as row:
            small: dict[str, Any] = {"size": "sm", "scale": 0, "min_width": 160}
            approve = gr.Button("Go on so", variant="primary", elem_id="loop-approve", **small)
            method = gr.Dropdown(
                [(label_of(TrainingMethod.DESCRIPTOR, value), TrainingMethod.Name(value)) for value in methods],
                value="TRAINING_METHOD_SFT",
                label="Train otherwise",
                elem_id="loop-method",
            )
            decide = gr.Button("Go on otherwise", elem_id="loop-decide", **small)
        return cls(row, method, approve, decide)

    def listen(self, answers: Answers, chosen: gr.State, message: gr.HTML) -> list[Any]:
        """Let the buttons answer; return what happens then."""
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        acts = ((self.approve, answers.approve), (self.decide, answers.decide))
        return [button.click(act, [chosen, self.method], [message], **quiet) for button, act in acts]


class Story:
    """Renders what each round decided, taught and reached."""

    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache
        self._mixes: dict[str, list[dict[str, Any]]] = {}

    async def html(self, item: LoopProgress | None) -> str:
        """What each round decided, taught and reached; what is not registered yet has no mix and no curve."""
        rounds = item.rounds if item else ()
        mixes = {each.dataset_version_id: each for each in rounds if each.dataset_version_id}
        jobs = {each.training_job_id: each for each in rounds if each.training_job_id}
        parts_of = await asyncio.gather(*(self._causes(dataset) for dataset in mixes))
        curves = await asyncio.gather(*(self._loss(job) for job in jobs))
        return render(
            "loops/timeline",
            rounds=rounds,
            mixes={name: causes for name, causes in zip(mixes, parts_of, strict=True) if causes},
            curves={name: curve for name, curve in zip(jobs, curves, strict=True) if curve},
        )

    async def _causes(self, dataset_version_id: str) -> list[dict[str, Any]]:
        # A version never changes, and its mix is counted over all its rows.
        if dataset_version_id not in self._mixes:
            try:
                mix = await self._cache.read(read_mix, dataset_version_id)
            except NotFound:
                return []
            if len(self._mixes) >= _MOST_MIXES:
                self._mixes.clear()
            self._mixes[dataset_version_id] = [part for part in mix["parts"] if part["respect"] == "cause"]
        return self._mixes[dataset_version_id]

    async def _loss(self, training_job_id: str) -> CurveView | None:
        try:
            curves = (await self._cache.read(read_training_job, training_job_id)).curves
        except NotFound:
            return None
        return next((curve for curve in curves if curve.metric == "loss"), None)
