"""Runs a module as `__main__` under resource limits: `python -m services.registry.importers.limits LIMITS MODULE …`.

LIMITS is "memory:cpu:file" in bytes, seconds and bytes. The process dies with the one that started it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Each thread of a linear-algebra library reserves address space that would count against the limit.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}


def main(arguments: list[str]) -> None:
    """Set the limits, then become the module."""
    limits, module, *rest = arguments
    _die_with_parent()
    memory_bytes, cpu_seconds, file_bytes = (int(part) for part in limits.split(":"))
    os.environ.update(_ONE_THREAD)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Python would keep a compiled file that the limit cut off, and no process could import that module again.
    sys.dont_write_bytecode = True
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _die_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the signal was asked for.
    if os.getppid() != parent or parent == 1:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
