"""The row of filters above the list of verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.test_runs.actions import VerdictFilters
from ui.test_runs.views import TestRunView

ALL, CONFORMING = "all", "conforms"


@dataclass(frozen=True)
class Filters:
    """The row and its dropdowns: tool, category, first failing layer, verdict."""

    row: gr.Row
    tool: gr.Dropdown
    category: gr.Dropdown
    layer: gr.Dropdown
    cause: gr.Dropdown

    def fields(self) -> list[gr.Dropdown]:
        """Return the dropdowns, whose values `verdict_filters` reads."""
        return [self.tool, self.category, self.layer, self.cause]

    def outputs(self) -> list[Any]:
        """Return what `updates` updates."""
        return [self.row, *self.fields()]

    @staticmethod
    def updates(run: TestRunView | None, picked: Sequence[str], shown: dict[str, int]) -> list[Any]:
        """Return the updates of the row and of the choices; nothing when they are as they were."""
        metrics = run.evaluation.metrics if run and run.evaluation else None
        names = [
            list(metrics.by_tool) if metrics else [],
            list(metrics.by_category) if metrics else [],
            [item.layer for item in metrics.by_layer if item.rate < 1] if metrics else [],
            [CONFORMING, *metrics.by_cause] if metrics else [],
        ]
        state = hash((run.test_run_id if run else "", *(name for each in names for name in each)))
        if shown.get("filters") == state:
            return [gr.skip()] * 5
        shown["filters"] = state
        choices = [
            [(name.replace("_", " ") if place > 1 else name, name) for name in each] for place, each in enumerate(names)
        ]
        return [
            gr.Row(visible=bool(metrics and metrics.overall.num_cases)),
            *(
                gr.Dropdown(choices=[(ALL, ALL), *each], value=now if now in names[place] else ALL)
                for place, (each, now) in enumerate(zip(choices, picked, strict=True))
            ),
        ]


def filters_row() -> Filters:
    """Build the row, hidden until there are verdicts."""
    with gr.Row(elem_classes="dy-filters", visible=False) as row:
        fields = [
            gr.Dropdown([ALL], value=ALL, label=label, min_width=120, elem_id=f"filter-{name}")
            for name, label in (
                ("tool", "Tool"),
                ("category", "Category"),
                ("layer", "First failing layer"),
                ("cause", "Verdict"),
            )
        ]
    return Filters(row, *fields)


def verdict_filters(picked: Sequence[str]) -> VerdictFilters:
    """Return the filters that the dropdowns stand for."""
    tool, category, layer, cause = ("" if item == ALL else item for item in picked)
    return VerdictFilters(tool=tool, category=category, layer=layer, cause="none" if cause == CONFORMING else cause)
