"""How much memory there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.test_runner.backends.memory import own_memory_bytes, total_memory_bytes

GROUPS = {
    "two": ("0::/pod/box\n", {"memory.max": "max", "pod/memory.max": "1000000", "pod/box/memory.max": "2000000"}),
    "container": ("0::/\n", {"memory.max": "1000000"}),
    "one": ("5:cpu,memory:/box\n1:cpu:/\n", {"memory/box/memory.limit_in_bytes": "1000000"}),
    "one, seen from inside": ("5:memory:/docker/1\n", {"memory/memory.limit_in_bytes": "1000000"}),
}


@pytest.mark.parametrize("name", GROUPS)
def test_the_smallest_limit_of_the_groups_counts(tmp_path: Path, name: str) -> None:
    membership, files = GROUPS[name]
    (tmp_path / "membership").write_text(membership)
    for place, text in files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"{text}\n")
    assert total_memory_bytes(tmp_path, tmp_path / "membership") == 1_000_000


def test_without_groups_it_is_the_machines(tmp_path: Path) -> None:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert total_memory_bytes(tmp_path, tmp_path / "none") == pages


def test_a_process_has_what_it_filled_and_one_that_is_gone_has_nothing() -> None:
    before = own_memory_bytes(os.getpid())
    block = bytearray(os.urandom(1 << 20) * 64)
    assert own_memory_bytes(os.getpid()) - before > 48 << 20
    del block
    assert own_memory_bytes(1 << 22) == 0
