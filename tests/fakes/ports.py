"""Ports for programs that must be told theirs before they start, or that come back to where they were."""

from __future__ import annotations

import itertools
import os
import random
import socket
from typing import Final

# Below those that the kernel lends to whoever connects, so that none is taken between here and the program's start.
_PORTS: Final = range(15_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return so many ports of 127.0.0.1 that nobody uses."""
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
