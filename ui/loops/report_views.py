"""The report of a loop: what was measured before and after, and on what."""

from __future__ import annotations

from dataclasses import dataclass

from ui.evaluations.views import RatesView


@dataclass(frozen=True)
class ResultView:
    """One side of the report."""

    model_version_id: str
    test_run_id: str
    evaluation_id: str
    conforming_rate: float
    accepted_rate: float
    well_formed_rate: float
    num_cases: int
    by_tool: dict[str, RatesView]
    by_cause: dict[str, int]


@dataclass(frozen=True)
class ReportView:
    """What `report.json` holds; `before` and `after` are the same when nothing was trained."""

    suite: str
    suite_version: int
    model: str
    seed: int
    duration_seconds: float
    before: ResultView
    after: ResultView
    sentence: str
    gained_case_ids: tuple[str, ...]
    lost_case_ids: tuple[str, ...]
    loop: dict[str, object]
    run: dict[str, str]
    training: dict[str, str]
    machine: dict[str, str]
    versions: dict[str, str]
    create_time: str
