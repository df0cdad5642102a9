"""The report of a loop as one self-contained page that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ui.markup.charts import tool_rows
from ui.markup.environment import render, stylesheet
from ui.views.evaluations import CAUSE_SENTENCES, RatesView, sorted_causes


def render_report(report: Mapping[str, Any]) -> str:
    """Return the page of a report.

    Args:
        report: What `report.json` holds.
    """
    before, after = report["before"], report["after"]
    rates = [{tool: RatesView(**one) for tool, one in side["by_tool"].items()} for side in (before, after)]
    return render(
        "report",
        report=report,
        style=Markup(stylesheet()),
        rows=tool_rows(rates[0], rates[1]),
        causes=sorted_causes(before["by_cause"], after["by_cause"]),
        cause_sentences=CAUSE_SENTENCES,
    )
