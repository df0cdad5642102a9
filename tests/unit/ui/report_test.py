"""The report's two files."""

import json
from pathlib import Path
from typing import Any

import pytest

from ui.cli.commands.reports import write_report
from ui.markup.report import render_report

_RATES = {"num_cases": 10, "conforming_rate": 0.1, "accepted_rate": 0.2, "well_formed_rate": 0.3}


def _side(rate: float, causes: dict[str, int]) -> dict[str, Any]:
    rates = {**_RATES, "conforming_rate": rate}
    names = {"model_version_id": "m@1", "test_run_id": "r", "evaluation_id": "e"}
    return {**names, **rates, "by_tool": {"read_file": rates}, "by_cause": causes}


REPORT: dict[str, Any] = {
    "suite": "roo_xml/core",
    "suite_version": 1,
    "model": "m@1",
    "seed": 3,
    "duration_seconds": 61.4,
    "before": _side(0.1, {"no_call": 9}),
    "after": _side(0.9, {"unclosed": 1}),
    "sentence": "8 cases gained.",
    "gained_case_ids": ["a"],
    "lost_case_ids": [],
    "examples": [],
    "loop": {
        "loop_id": "l",
        "goals": ["conforming_rate ≥ 0.8"],
        "stop_reason": "goals_met",
        "stop_sentence": "All goals are met.",
        "best_model_version_id": "m@2",
        "num_rounds": 1,
    },
    "run": {},
    "training": {},
    "machine": {"cores": "2"},
    "versions": {},
    "create_time": "2026-11-22T15:00:00+00:00",
}


def test_the_page_shows_both_rates_by_tool_and_cause() -> None:
    html = render_report(REPORT)
    for shown in ("10 %", "90 %", "read_file", "no call", "unclosed", "All goals are met.", "1 min 01 s"):
        assert shown in html


def test_both_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    page = write_report(REPORT, tmp_path / "new" / "report")
    assert page == tmp_path / "new" / "report" / "report.html"
    assert json.loads(page.with_name("report.json").read_text()) == REPORT
    assert sorted(one.name for one in page.parent.iterdir()) == ["report.html", "report.json"]


def test_a_report_that_cannot_be_written_leaves_the_former_one_whole(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path)
    former = (tmp_path / "report.html").read_text()
    broken = {**REPORT, "suite": "\ud800"}
    with pytest.raises(UnicodeEncodeError):
        write_report(broken, tmp_path)
    assert (tmp_path / "report.html").read_text() == former
    assert sorted(one.name for one in tmp_path.iterdir()) == ["report.html", "report.json"]
