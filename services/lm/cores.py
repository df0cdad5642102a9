"""How many processor cores a process may use; imports no torch."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

_CONTROL_GROUP: Final = Path("/sys/fs/cgroup")


def usable_cores(control_group: Path = _CONTROL_GROUP) -> int:
    """The cores that the process may run on, and no more than its container's quota, rounded up.

    In a pod with a limit of two cores on a large node the scheduler still offers all of the node's: as many threads
    would be stopped for most of each period.
    """
    offered = len(os.sched_getaffinity(0))
    quota = _quota(control_group)
    return offered if quota is None else max(1, min(offered, math.ceil(quota)))


def _quota(control_group: Path) -> float | None:
    """Cores by the control group's limit, in either version's files; None without one."""
    try:
        if (control_group / "cpu.max").is_file():
            quota, period = (control_group / "cpu.max").read_text(encoding="ascii").split()
        else:
            folder = control_group / "cpu"
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
        return float(quota) / float(period) if float(quota) > 0 else None
    # No such file, or "max", which is no number: no limit.
    except (OSError, ValueError):
        return None
