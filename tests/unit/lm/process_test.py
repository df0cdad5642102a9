"""Compute threads are counted by what the container may use, not by what the machine has."""

import os
from pathlib import Path

import pytest

from services.lm.process import usable_cores

OFFERED = 8


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(OFFERED)))


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("1600000 100000", 8)],
)
def test_a_quota_of_a_container_bounds_the_cores(tmp_path: Path, text: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [(-1, 8), (300000, 3)])
def test_the_older_files_say_it_too(tmp_path: Path, quota: int, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize("text", [None, "", "nonsense", "1 2 3"])
def test_without_a_limit_that_can_be_read_all_offered_cores_count(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path) == OFFERED
