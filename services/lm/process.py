"""What a process may use: cores of the machine, and for a chat template, a program from elsewhere, time and memory.

Imports no torch.
"""

import ctypes
import math
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from services.lm.errors import LimitExceeded

_CONTROL_GROUP: Final = Path("/sys/fs/cgroup")
_NEXT_STEP: Final = "Choose a model with another chat template."
# A computation within one library call cannot be interrupted; after as much processor time again the process ends.
_PATIENCE: Final = 2.0
# The first exception may meet code that takes it for a fault of its own, so others follow, a part of the time apart.
_AGAIN: Final = 0.25


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


@contextmanager
def bounded_template(seconds: float, more_bytes: int) -> Iterator[None]:
    """Let a chat template take `seconds` and `more_bytes` of memory beyond what the process has; main thread only.

    A template that cannot be stopped ends the process by SIGVTALRM.

    Raises:
        LimitExceeded: It takes more.
    """

    def stop(_: int, __: FrameType | None) -> None:
        raise LimitExceeded(f"The chat template takes longer than {seconds:.0f} s.", _NEXT_STEP)

    limits = resource.getrlimit(resource.RLIMIT_DATA)
    previous = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_DATA, (_least(_statm(5) + more_bytes, *limits), limits[1]))
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds * _PATIENCE)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds * _AGAIN)
    try:
        yield
    except MemoryError as error:
        problem = f"The chat template takes more than {more_bytes >> 20} MiB of memory."
        raise LimitExceeded(problem, _NEXT_STEP) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_DATA, limits)
        signal.signal(signal.SIGALRM, previous)


def resident_bytes() -> int:
    """The memory that the process has now."""
    return _statm(1)


def give_back_memory() -> None:
    """Return to the system what the allocator keeps of freed memory."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class KeptMemory:
    """Keeps freed memory from step to step, but no more than twice what a step needs.

    Tensors of ever other sizes leave holes that later ones do not fill (measured: 2.4 GB after the first step of a
    training, 6.8 GB after a hundred). Giving all back after each step would cost more than it saves.

    Args:
        resident: Tells the bytes that the process has.
        give_back: Returns freed memory to the system.
    """

    def __init__(
        self, resident: Callable[[], int] = resident_bytes, give_back: Callable[[], None] = give_back_memory
    ) -> None:
        self._resident, self._give_back = resident, give_back
        self._needed = 0
        self._is_fresh = True

    def step_done(self) -> None:
        """Call it after each step."""
        resident = self._resident()
        if self._is_fresh:
            self._needed, self._is_fresh = max(self._needed, resident), False
        elif resident > 2 * self._needed:
            self._give_back()
            self._is_fresh = True


def _statm(column: int) -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[column]) * resource.getpagesize()


def _least(*limits: int) -> int:
    return min(limit for limit in limits if limit != resource.RLIM_INFINITY)
