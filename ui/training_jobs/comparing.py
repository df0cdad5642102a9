"""Two to eight training jobs side by side: their curves over the same axes, and the settings that tell them apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from services.chassis.errors import InvalidArgument, ServiceError
from ui.gateway.clients import Clients
from ui.shared import parts
from ui.shared.cache import ServiceCache, html_or_notice, notice
from ui.shared.charts import Overlay, number, overlay_chart
from ui.shared.environment import render
from ui.shared.settings import settings_of
from ui.shared.words import local_time
from ui.training_jobs.actions import read_training_job, recent_training_jobs
from ui.training_jobs.views import TrainingJobView

_MOST = 8
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Comparison:
    """Some jobs: what differs of their settings, where their curves end, and the curves that two of them have."""

    jobs: Sequence[TrainingJobView]
    settings: tuple[tuple[str, tuple[str, ...]], ...]
    ends: tuple[tuple[str, tuple[str, ...]], ...]
    charts: tuple[tuple[str, Overlay], ...]


def comparison_of(jobs: Sequence[TrainingJobView]) -> Comparison:
    """Return jobs side by side; their curves are named by their numbers, beginning with 1."""
    tables = [dict(settings_of(job.spec)) for job in jobs]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [(name, tuple(table.get(name, "") for table in tables)) for name in names]
    titles = dict.fromkeys((curve.metric, curve.title) for job in jobs for curve in job.curves)
    ends, charts = [], []
    for metric, title in titles:
        by_job = [next((curve.points for curve in job.curves if curve.metric == metric), ()) for job in jobs]
        ends.append((title, tuple(number(points[-1][1]) if points else "" for points in by_job)))
        series = {str(place): points for place, points in enumerate(by_job, start=1) if points}
        if len(series) > 1:
            charts.append((title, overlay_chart(series, is_rate=metric == "adherence")))
    differing = tuple(row for row in rows if len(set(row[1])) > 1)
    return Comparison(jobs, differing, tuple(ends), tuple(charts))


async def compare_training_jobs(clients: Clients, training_job_ids: Sequence[str]) -> Comparison:
    """Return two to eight jobs side by side.

    Raises:
        InvalidArgument: There are fewer, or more.
        NotFound: There is no such job.
    """
    if not 2 <= len(training_job_ids) <= _MOST:
        raise InvalidArgument(f"{len(training_job_ids)} jobs are chosen.", f"Choose two to {_MOST}.", field="jobs")
    return comparison_of(await asyncio.gather(*(read_training_job(clients, one) for one in training_job_ids)))


class CompareBox:
    """The part of the page that sets jobs side by side: a list to choose from, and where they come."""

    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache
        with gr.Column(elem_classes="dy-form"):
            self._jobs = gr.Dropdown(
                [],
                multiselect=True,
                max_choices=_MOST,
                label="Set jobs side by side",
                info=f"Two to {_MOST}.",
                elem_id="train-jobs",
            )
            self._start = gr.Button("Compare these jobs", elem_id="train-compare")

    def build_result(self) -> None:
        """Build where the jobs come, and wire the events."""
        area = parts.area("train-comparison")
        parts.root().load(self.open, None, [self._jobs, area], **_QUIET)
        self._jobs.focus(self.offer, [self._jobs], [self._jobs], **_QUIET)
        self._start.click(self.show, [self._jobs], [area], **_QUIET)

    async def open(self, request: gr.Request) -> list[Any]:
        """Offer the newest jobs, and show those that the page's address names."""
        wanted = [name for name in parts.query(request, "jobs").split(",") if name]
        try:
            choices = await self._choices(parts.zone(request))
        except ServiceError as error:
            return [gr.skip(), notice(error)]
        known = {value for _, value in choices}
        update = gr.Dropdown(choices=choices, value=[name for name in wanted if name in known])
        return [update, await self.show(wanted) if wanted else ""]

    async def offer(self, chosen: list[str] | None, request: gr.Request) -> Any:
        """Offer what was started since the page was opened, too."""
        try:
            return gr.Dropdown(choices=await self._choices(parts.zone(request)), value=chosen)
        except ServiceError:
            return gr.skip()

    async def show(self, chosen: list[str] | None) -> str:
        """Show the chosen jobs side by side."""
        return await html_or_notice(self._html(chosen or []), "train")

    async def _html(self, chosen: Sequence[str]) -> str:
        comparison = await self._cache.read(compare_training_jobs, tuple(chosen))
        return render("training_jobs/comparison", one=comparison)

    async def _choices(self, zone: str) -> list[tuple[str, str]]:
        jobs = await self._cache.read(recent_training_jobs)
        return [
            (
                f"{job.result_version_id or job.model_version_id} · {job.dataset_version_id} · {job.job.state} · "
                f"{local_time(job.job.create_seconds, zone)}",
                job.training_job_id,
            )
            for job in jobs
        ]
