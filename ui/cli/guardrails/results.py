"""Results of lm-eval's tasks, and two of them side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
_SIGNIFICANT = 1.96


@dataclass(frozen=True)
class Change:
    """One metric before and after; `z` counts standard errors of the difference, and is None where none is known."""

    task: str
    metric: str
    before: float
    after: float
    z: float | None
    is_better_high: bool

    @property
    def is_worse(self) -> bool:
        """Whether it fell by more than chance explains, at 95 %."""
        return self._rise() < 0 and self._is_significant()

    @property
    def is_better(self) -> bool:
        """Whether it rose by more than chance explains, at 95 %."""
        return self._rise() > 0 and self._is_significant()

    def _rise(self) -> float:
        return self.after - self.before if self.is_better_high else self.before - self.after

    def _is_significant(self) -> bool:
        return self.z is None or abs(self.z) > _SIGNIFICANT


def results_of(document: Document) -> Document:
    """Return what lm-eval found: for each task its metrics, each with its value and standard error."""
    tasks = {
        name: {
            "num_samples": result.get("sample_len") or document.get("n-samples", {}).get(name, {}).get("effective", 0),
            "metrics": _metrics(result, document.get("higher_is_better", {}).get(name, {})),
        }
        for name, result in document.get("results", {}).items()
    }
    return {
        "lm_eval_version": document.get("lm_eval_version", ""),
        "tasks": {k: v for k, v in tasks.items() if v["metrics"]},
    }


def changes(before: Document, after: Document) -> list[Change]:
    """Return each metric that both results have, side by side."""
    return [
        _change(task, metric, before["tasks"][task]["metrics"][metric], now)
        for task, item in after["tasks"].items()
        for metric, now in item["metrics"].items()
        if metric in before["tasks"].get(task, {}).get("metrics", {})
    ]


def _change(task: str, metric: str, before: Document, after: Document) -> Change:
    errors = [item["stderr"] for item in (before, after)]
    spread = math.hypot(*errors) if all(error is not None for error in errors) else 0.0
    z = (after["value"] - before["value"]) / spread if spread else None
    return Change(task, metric, before["value"], after["value"], z, bool(after["higher_is_better"]))


def _metrics(document: Document, higher: Document) -> Document:
    metrics = {}
    for key, value in document.items():
        name, _, chosen = key.partition(",")
        if not chosen or name.endswith("_stderr") or not isinstance(value, int | float):
            continue
        spread = document.get(f"{name}_stderr,{chosen}")
        metrics[name if chosen == "none" else key] = {
            "value": float(value),
            "stderr": float(spread) if isinstance(spread, int | float) and math.isfinite(spread) else None,
            "higher_is_better": higher.get(name, True) is not False,
        }
    return metrics
