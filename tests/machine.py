"""Ports and processes of this machine, which others use and end meanwhile."""

from __future__ import annotations

import itertools
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
import pytest

# What a test waits for takes a hundredth of this; a machine that does much else needs the rest.
PATIENCE_SECONDS: Final = 180.0

# Below those that the kernel lends to whoever connects, so that none is taken between here and a program's start, and
# above those that Ray gives to its workers: a head whose own port lies among them refuses to start.
_PORTS: Final = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return so many ports of 127.0.0.1 that nobody uses, for programs that must be told theirs before they start."""
    # Tests that seed the common generator would choose the same ports in every process.
    candidates = random.Random(os.urandom(16)).sample(_PORTS, len(_PORTS))
    return list(itertools.islice(filter(_is_free, candidates), count))


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def takes_less_than(seconds: float, work: Callable[[], object]) -> bool:
    """Return whether work takes less processor time in one of three tries: what a busy host takes counts as its own."""
    return any(_processor_seconds(work) < seconds for _ in range(3))


def _processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a disk of memory on a new folder, which only root may do, for the length of the block."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root: run this test by sudo -E .venv/bin/pytest")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Write a file that takes what room a small disk has, and return it."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))
    return filler


def command_of(process: psutil.Process) -> str:
    """Return a process's command in one line; nothing once it has ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended, waited for or not."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
