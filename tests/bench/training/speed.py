"""Rows a second of a training step: SFT, DPO and GRPO, behind a shared beginning and without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from tests.bench.pairs import Comparison
from tests.bench.training.bench import Bench
from tests.bench.training.sides import Setting, comparison
from tests.bench.training.workload import GROUP, Work


def behind_a_prefix(bench: Bench) -> Iterator[Comparison]:
    """SFT against TRL's defaults."""
    yield _compared(bench, "sft_trl_default", bench.drawing().examples(bench.options.batch), bench.trl_default)


def behind_a_prefix_at_best(bench: Bench) -> Iterator[Comparison]:
    """SFT against TRL's best setting."""
    work = bench.drawing().examples(bench.options.batch)
    yield _compared(bench, "sft_trl_best", work, bench.fastest(bench.trl))


def against_unsloth(bench: Bench) -> Iterator[Comparison]:
    """SFT against Unsloth's backend for CPUs at its best setting, of which one is its default."""
    work = bench.drawing().examples(bench.options.batch)
    yield _compared(bench, "sft_unsloth_best", work, bench.fastest(bench.unsloth))


def without_a_prefix(bench: Bench) -> Iterator[Comparison]:
    """SFT of rows that begin differently, against TRL at its best."""
    yield _alone(bench, bench.trl)


def without_a_prefix_against_unsloth(bench: Bench) -> Iterator[Comparison]:
    """The same against Unsloth."""
    yield _alone(bench, bench.unsloth)


def preferences(bench: Bench) -> Iterator[Comparison]:
    """DPO: the reference is computed in the step on both sides, by the same weights without the adapter."""
    work = bench.drawing().pairs(bench.options.batch // 2)
    rows = max(1, bench.options.peer_rows // 2)
    yield _compared(bench, "dpo_trl_best", work, bench.fastest(bench.trl), num_peer_rows=rows)


def rollouts(bench: Bench) -> Iterator[Comparison]:
    """GRPO: the update on the same stored rollouts, and the step in which each side writes rollouts of its own first.

    The peer does one prompt's group in a step, on a GPU those of all prompts.
    """
    work = bench.drawing().rollouts(bench.options.prompts, length=bench.options.new)
    best = bench.fastest(bench.trl)
    peer_work = work if bench.on_gpu else work.first(GROUP)
    with (
        closing(bench.sides.start(bench.ours, work, generates=True)) as ours,
        closing(bench.sides.start(best, peer_work, generates=True)) as peer,
    ):
        steps = bench.in_turn("grpo_step_trl_best", ours, peer)
    details = _details(bench, work, best)
    rows = len(work.rows), len(peer_work.rows)
    yield comparison("grpo_update_trl_best", steps, rows, details, updates_only=True)
    yield comparison("grpo_step_trl_best", steps, rows, details)


def _alone(bench: Bench, settings: Sequence[Setting]) -> Comparison:
    work = bench.drawing().examples(max(2, bench.options.peer_rows), shares=False)
    best = bench.fastest(settings)
    return _compared(bench, f"alone_{best.program}_best", work, best)


def _compared(bench: Bench, name: str, work: Work, setting: Setting, *, num_peer_rows: int = 0) -> Comparison:
    peer_work = work.first(num_peer_rows or bench.options.peer_rows)
    setting = replace(setting, batch=min(setting.batch, len(peer_work.rows)))
    with (
        closing(bench.sides.start(bench.ours, work)) as ours,
        closing(bench.sides.start(setting, peer_work)) as peer,
    ):
        steps = bench.in_turn(name, ours, peer)
    return comparison(name, steps, (len(work.rows), len(peer_work.rows)), _details(bench, work, setting))


def _details(bench: Bench, work: Work, setting: Setting) -> dict[str, Any]:
    return {
        "rho": round(work.rho, 2),
        "peer": setting.program,
        "setting": str(setting),
        "trials": bench.trials.get(setting.program, {}),
        "versions": bench.sides.versions(setting),
    }
