"""Compute threads are counted by what the container may use, not by what the machine has."""

import os
from pathlib import Path

import pytest

from services.lm.process import KeptMemory, give_back_memory, resident_bytes, usable_cores

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


def test_freed_memory_is_given_back_once_it_is_twice_what_a_step_needs() -> None:
    sizes = iter([100, 150, 201, 90, 150, 200, 250, 120])
    trims: list[int] = []
    memory = KeptMemory(lambda: next(sizes), lambda: trims.append(1))
    counts = []
    for _ in range(8):
        memory.step_done()
        counts.append(len(trims))
    # After it, a step that needs less leaves the measure as it was.
    assert counts == [0, 0, 1, 1, 1, 1, 2, 2]


def test_memory_that_was_freed_goes_back_to_the_system() -> None:
    blocks = [bytearray(100_000) for _ in range(1000)]
    before = resident_bytes()
    del blocks[::2]
    give_back_memory()
    assert resident_bytes() < before - 40_000_000
