"""A short storm of kills, as part of all tests; `make storm` and `make mutants` are the long ones."""

from __future__ import annotations

import functools
import importlib
import re
from pathlib import Path

import pytest

from tests.storm.asking.kinds import FOLLOWING, KINDS
from tests.storm.points import POINTS
from tests.storm.stack import ROOT
from tests.storm.storm import Plan, run_storm


@pytest.mark.parametrize("name", POINTS)
def test_a_fault_point_is_at_a_function_that_is_there(name: str) -> None:
    point = POINTS[name]
    assert callable(functools.reduce(getattr, point.function.split("."), importlib.import_module(point.module)))


def test_storms_ask_for_every_kind_of_job() -> None:
    constant = re.compile(r"""^(?:\w+_)?KIND(?:: Final)? = "(\w+)"$""", re.MULTILINE)
    sources = [path.read_text() for path in (ROOT / "services").rglob("*.py")]
    assert {name for source in sources for name in constant.findall(source)} == {*KINDS, *FOLLOWING}


@pytest.mark.timeout(900)
async def test_databases_that_are_away_and_a_storm_thereafter_lose_double_and_leave_nothing(tmp_path: Path) -> None:
    report = await run_storm(
        Plan(seed=11, seconds=30.0, num_jobs=20, outage_seconds=20.0, lease_seconds=30.0), tmp_path
    )
    judgement = report.judgement
    assert (judgement.lost, judgement.doubled, judgement.wrong, judgement.left) == ([], [], [], [])
    assert report.num_acknowledged > 20 and report.blows and len(report.latencies.seconds) > 0
