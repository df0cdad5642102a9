"""Tables of test results: rates by tool, failure causes, before and after."""

from __future__ import annotations

from typing import Any

from ui.cli.connection import Document
from ui.cli.output import print_table

RATES = ("conforming_rate", "accepted_rate", "well_formed_rate")


def result_of(evaluation: Document) -> Document:
    """Return an evaluation's metrics in the report's form: rates, `by_tool` and `by_cause`."""
    metrics = evaluation.get("metrics") or {}
    return {
        **(metrics.get("overall") or dict.fromkeys(RATES, 0.0) | {"num_cases": 0}),
        "by_tool": {one["tool"]: one["rates"] for one in metrics.get("by_tool", [])},
        "by_cause": {one["cause"]: one["num_cases"] for one in metrics.get("by_cause", [])},
    }


def print_result(title: str, result: Document) -> None:
    """Print one result by tool and cause."""
    listed = [*result["by_tool"].items(), ("all", result)]
    rows = [
        [tool, one["num_cases"], *(_percent(one[rate]) for rate in RATES), interval_text(one)] for tool, one in listed
    ]
    columns = ["tool", "cases", "conforming", "accepted", "well formed", "95 % of conforming"]
    if not any(row[-1] for row in rows):
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    print_table(title, columns, rows, empty="Nothing is judged yet.")
    print()
    print_table("Failures by cause", ("cause", "cases"), result["by_cause"].items(), empty="No case failed.")


def interval_text(rates: Document, name: str = "conforming_interval") -> str:
    """Return a 95 % interval of a share, or nothing when none is known."""
    found = rates.get(name) or {}
    if not found.get("low") and not found.get("high"):
        return ""
    return f"{100 * found['low']:.1f} to {100 * found['high']:.1f} %"


def verdict_text(evaluation: Document) -> str:
    """Return the verdicts so far: how many conform, are accepted all the same, or fail."""
    overall = (evaluation.get("metrics") or {}).get("overall") or {}
    judged = overall.get("num_cases", 0)
    if not judged:
        return ""
    conforming = round(judged * overall["conforming_rate"])
    accepted = max(round(judged * overall["accepted_rate"]) - conforming, 0)
    counts = [f"{conforming} conform", *([f"{accepted} only accepted"] if accepted else [])]
    return f"{judged} judged: {', '.join([*counts, f'{judged - conforming - accepted} fail'])}"


def print_advice(sentences: list[str]) -> None:
    """Print what a person can do about a result, the most useful first."""
    if sentences:
        print()
    for sentence in sentences:
        print(f"• {sentence}")


def print_change(title: str, before: Document, after: Document) -> None:
    """Print two results side by side, by tool and by cause."""
    tools = sorted({*before["by_tool"], *after["by_tool"]})
    sides = [(tool, before["by_tool"].get(tool, {}), after["by_tool"].get(tool, {})) for tool in tools]
    rows = [_change_row(tool, first, second) for tool, first, second in sides]
    rows.append(_change_row("all", before, after))
    print(f"{title}\n")
    print_table("", ("tool", "cases", "conforming before", "after", "change"), rows, empty="Nothing is judged yet.")
    print()
    causes = list(dict.fromkeys([*before["by_cause"], *after["by_cause"]]))
    counts = [(one, before["by_cause"].get(one, 0), after["by_cause"].get(one, 0)) for one in causes]
    print_table("Failures by cause", ("cause", "before", "after"), counts, empty="No case failed.")


def _change_row(name: str, before: Document, after: Document) -> tuple[Any, ...]:
    first, second = before.get("conforming_rate", 0.0), after.get("conforming_rate", 0.0)
    points = round(100 * (second - first))
    change = f"{'+' if points >= 0 else '−'}{abs(points)} pts"
    return name, after.get("num_cases", before.get("num_cases", 0)), _percent(first), _percent(second), change


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"
