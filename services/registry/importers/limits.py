"""Runs a module as `__main__` under resource limits: `python -m services.registry.importers.limits LIMITS MODULE …`.

LIMITS is "memory:cpu:file" in bytes, seconds and bytes. The process dies with the one that started it.
"""

from __future__ import annotations

import os
import resource
import runpy
import sys

from services.chassis.machine.parent import die_with_parent

# Each thread of a linear-algebra library reserves address space that would count against the limit.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}


def main(arguments: list[str]) -> None:
    """Set the limits, then become the module."""
    limits, module, *rest = arguments
    die_with_parent(os.getppid())
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


if __name__ == "__main__":
    main(sys.argv[1:])
