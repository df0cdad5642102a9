"""The most memory that a process of training holds: at equal batch against TRL, and ours as the batch grows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from tests.bench.pairs import Comparison, comparison_of
from tests.bench.training.bench import Bench
from tests.bench.training.sides import Setting

_EQUAL = 16
_LARGE = 256
_GIGABYTE = 1e9


def peaks(bench: Bench) -> Iterator[Comparison]:
    """Ratios of memory: the lower, the better."""
    small = _peak(bench, bench.ours, _EQUAL)
    large = _peak(bench, bench.ours, _LARGE)
    print(f"  memory: {small:.2f} GB at {_EQUAL} rows, {large:.2f} GB at {_LARGE}", flush=True)
    details = {"unit": "GB", "meaning": f"{_LARGE} rows against {_EQUAL}"}
    yield comparison_of("memory_growth", [(large, small)], details)
    setting = replace(bench.trl_default, batch=0)
    theirs = _peak(bench, setting, _EQUAL)
    details = {"unit": "GB", "rows": str(_EQUAL), "setting": str(setting)}
    yield comparison_of("memory_trl_default", [(small, theirs)], details)


def _peak(bench: Bench, setting: Setting, num_rows: int) -> float:
    with closing(bench.sides.start(setting, bench.drawing().examples(num_rows))) as side:
        return side.step().peak / _GIGABYTE
