"""The page of training: what its form says, what it shows before a start, and which buttons there are."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from drillyard.job.v1.job_pb2 import Job, JobState
from drillyard.trainer.v1.checkpoint_pb2 import Checkpoint, CurvePoint
from drillyard.trainer.v1.preflight_pb2 import PreflightTrainingJobResponse, RowToken, RowTokens, TrainingPreflight
from drillyard.trainer.v1.training_job_pb2 import TrainingJob
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec
from drillyard.trainer.v1.weights_pb2 import LoraConfig

from ui.shared.cache import ServiceCache
from ui.shared.environment import render
from ui.training_jobs.form import TrainForm, train_form
from ui.training_jobs.page import _Page
from ui.training_jobs.preflight import preflight_view
from ui.training_jobs.views import TrainingJobView, training_job_view


def _form() -> TrainForm:
    with gr.Blocks():
        return train_form()


def _values(form: TrainForm, **changed: Any) -> dict[Any, Any]:
    values = {component: getattr(component, "value", None) for component in form.components()}
    named = {component.elem_id: component for component in values if getattr(component, "elem_id", None)}
    values |= {form.model: "m@1", form.dataset: "d@1", form.fork: ()}
    return values | {named[f"train-{name.replace('_', '-')}"]: value for name, value in changed.items()}


def _job(state: int, steps: tuple[int, ...] = (20, 10), scores: tuple[float, ...] = (0.5, 0.8)) -> TrainingJobView:
    checkpoints = [Checkpoint(step=step, score=score) for step, score in zip(steps, scores, strict=False)]
    points = [CurvePoint(metric=name, step=1, value=1) for name in ("loss", "reward/format", "entropy", "grad_norm")]
    job = TrainingJob(training_job_id="train-1", job=Job(state=state), spec=TrainingJobSpec(num_epochs=3))  # type: ignore[arg-type]
    return training_job_view(job, points, checkpoints)


def _verbs(html: str) -> list[str]:
    return re.findall(r'data-select="([^"]+)"', html)


async def test_a_form_that_was_not_touched_asks_for_nothing_but_defaults() -> None:
    form = _form()
    spec = form.spec(_values(form))
    assert not spec.HasField("grpo")
    assert not spec.HasField("dpo")
    assert (spec.lora.r, spec.num_epochs) == (16, 1)


async def test_only_the_fields_of_the_method_and_the_weights_are_shown_and_sent() -> None:
    form = _form()
    values = _values(
        form,
        method="TRAINING_METHOD_DPO",
        trained_weights="TRAINED_WEIGHTS_FULL",
        dpo_beta=0.3,
        lora_r=4,
        grpo_beta=0.5,
    )
    shown = {name: form.visibility(values)[group]["visible"] for name, group in form.groups.items()}
    assert shown == {"lora": False, "scratch": False, "dpo": True, "grpo": False}
    spec = form.spec(values)
    assert spec.dpo.beta == pytest.approx(0.3)
    assert not spec.HasField("lora")
    assert not spec.HasField("grpo")


async def test_a_fork_fills_the_form_with_the_settings_of_its_job() -> None:
    form = _form()
    spec = TrainingJobSpec(model_version_id="m@2", num_epochs=7, lora=LoraConfig(r=4, rank_pattern=["a=1", "b=2"]))
    filled = form.filled(spec)
    components = form.fields.components
    assert (filled[form.model], filled[components["num_epochs"]]["value"]) == ("m@2", 7)
    assert filled[components["lora.rank_pattern"]]["value"] == "a=1\nb=2"
    assert filled[components["grpo.temperature"]]["value"] is None
    again = form.spec(_values(form) | {key: item["value"] for key, item in filled.items() if "value" in item})
    assert (again.num_epochs, list(again.lora.rank_pattern)) == (7, ["a=1", "b=2"])
    forked = form.spec(_values(form) | {form.fork: ("train-1", 20)})
    assert (forked.fork.training_job_id, forked.fork.step) == ("train-1", 20)


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        (JobState.JOB_STATE_RUNNING, ["pause", "cancel"]),
        (JobState.JOB_STATE_PAUSING, ["cancel"]),
        (JobState.JOB_STATE_PAUSED, ["resume", "cancel"]),
        (JobState.JOB_STATE_CANCELLING, []),
        (JobState.JOB_STATE_SUCCEEDED, ["delete"]),
    ],
)
def test_a_button_is_there_only_when_it_can_work(state: int, verbs: list[str]) -> None:
    assert _verbs(render("training_jobs/actions", one=_job(state))) == verbs


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        (JobState.JOB_STATE_RUNNING, ["fork 30", "fork 20", "fork 10", "drop 10"]),
        (JobState.JOB_STATE_FAILED, ["fork 30", "drop 30", "fork 20", "drop 20", "fork 10", "drop 10"]),
    ],
)
def test_a_checkpoint_that_is_needed_cannot_be_deleted(state: int, verbs: list[str]) -> None:
    html = render("training_jobs/training_job", one=_job(state, (30, 20, 10), (0.5, 0.8, 0.1)))
    assert _verbs(html) == verbs


def test_curves_stand_under_what_they_tell_of_and_settings_are_those_that_matter() -> None:
    view = _job(JobState.JOB_STATE_RUNNING)
    groups = {title: [curve.title for curve in curves] for title, curves in view.curve_groups}
    assert groups == {
        "What is learned": ["Loss"],
        "Rewards by component": ["Reward: format"],
        "What is drawn": ["Entropy"],
        "How it goes": ["Length of the gradient"],
    }
    assert [name for name, _ in view.settings] == ["Method", "Trained weights", "Epochs", "Batch size", "Learning rate"]


def test_a_trained_token_is_told_from_others_without_colour_and_shown_as_text() -> None:
    tokens = [RowToken(text="<b>\n"), RowToken(text="yes", span=1, token_id=7)]
    row = RowTokens(line=3, example_id="e", num_tokens=2, tokens=tokens)
    html = render("training_jobs/preflight", one=preflight_view(TrainingPreflight(row=row)))
    assert '<span class="trained" title="trained, token 7">yes</span>' in html
    assert "&lt;b&gt;↵\n" in html
    assert "2 tokens, 1 of them trained" in html


async def test_rows_are_looked_at_until_all_were_and_a_refusal_starts_nothing() -> None:
    answers = [TrainingPreflight(num_rows=9, num_checked_rows=4), TrainingPreflight(num_rows=9, num_checked_rows=9)]
    refused = TrainingPreflight(num_rows=9, num_checked_rows=9, refusals=["Line 2 of the dataset is not JSON."])
    told = [*answers, refused]

    async def answer(request: Any, **options: Any) -> PreflightTrainingJobResponse:
        return PreflightTrainingJobResponse(preflight=told.pop(0))

    form = _form()
    clients = SimpleNamespace(trainer=SimpleNamespace(PreflightTrainingJob=answer))
    cache = ServiceCache(cast(Any, SimpleNamespace(state=SimpleNamespace(clients=clients))))
    areas: Any = {name: name for name in ("chosen", "message", "fork_notice")}
    page = _Page(cache, form, **areas)
    shown = [html async for html, _ in page.look(_values(form))]
    assert ["Looking at rows: 4 of about 9" in shown[0], "Ready to start" in shown[1], len(shown)] == [True, True, 2]
    _, message, html = await page.start(_values(form))
    assert "This cannot start" in message
    assert "Line 2 of the dataset is not JSON." in html
