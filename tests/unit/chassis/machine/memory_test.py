"""How much memory there is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.chassis.machine.memory import (
    offer_to_kernel,
    outgrows,
    own_memory_bytes,
    total_memory_bytes,
    tree_memory_bytes,
)
from tests.machine import PATIENCE_SECONDS

# A process that has little itself and starts one that has 64 MiB; it says so when that one has them.
CHILD = "import sys; block = b'x' * (64 << 20); print('full', flush=True); sys.stdin.read()"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
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


@pytest.fixture(scope="module")
def family() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        offer_to_kernel(parent.pid)
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"full\n"
        yield parent


async def test_what_a_process_started_counts_as_its_own_where_it_is_asked_for(family: subprocess.Popen[bytes]) -> None:
    assert own_memory_bytes(family.pid) < 64 << 20 < tree_memory_bytes(family.pid)
    await asyncio.wait_for(outgrows(family.pid, 64 << 20, with_children=True), PATIENCE_SECONDS)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outgrows(family.pid, 64 << 20), 0.4)
    assert tree_memory_bytes(1 << 22) == 0


def test_the_kernel_takes_a_child_and_its_children_before_the_service(family: subprocess.Popen[bytes]) -> None:
    scores = [_score(process) for process in (psutil.Process(family.pid), *psutil.Process(family.pid).children())]
    assert scores == [min(_score(psutil.Process()) + 500, 1000)] * 2


def _score(process: psutil.Process) -> int:
    return int(Path(f"/proc/{process.pid}/oom_score_adj").read_text(encoding="ascii"))
