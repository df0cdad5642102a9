"""What a GPU is asked beside the other parts: long prompts against TRL, and short ones against the plain path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from tests.bench.pairs import Comparison
from tests.bench.training.bench import OPEN, Bench
from tests.bench.training.sides import Setting, comparison
from tests.bench.training.workload import GROUP, QUESTION, Drawing


def long_prompts(bench: Bench) -> Iterator[Comparison]:
    """The update of GRPO on a group of stored rollouts behind a long prompt, TRL with one row at once and all.

    With one row at once also without its gradient checkpointing, for which all rows have no room.
    """
    options = bench.options
    drawing = Drawing(bench.vocabulary, prefix=options.long - QUESTION, own=options.own)
    work = drawing.rollouts(1, length=options.new)
    sides = replace(bench.sides, max_tokens=max(options.max_tokens, options.long + GROUP * options.new))
    settings = {
        "1_at_once": Setting("trl", options.dtype, batch=1),
        "1_at_once_open": Setting("trl", options.dtype, batch=1, options=OPEN),
        f"{GROUP}_at_once": Setting("trl", options.dtype, batch=GROUP),
    }
    for label, setting in settings.items():
        name = f"grpo_long_trl_{label}"
        with closing(sides.start(bench.ours, work)) as ours, closing(sides.start(setting, work)) as peer:
            steps = bench.in_turn(name, ours, peer)
        details = {"rho": round(work.rho, 2), "prompt": options.long, "setting": str(setting)}
        yield comparison(name, steps, (len(work.rows), len(work.rows)), details)


def short_prompts(bench: Bench) -> Iterator[Comparison]:
    """SFT behind a shared beginning that is short, ours as it is against ours with each row computed by itself."""
    for prefix in bench.options.short:
        work = Drawing(bench.vocabulary, prefix=prefix, own=bench.options.own).examples(bench.options.batch)
        name, rows = f"short_{prefix}_plain_path", (len(work.rows), len(work.rows))
        with (
            closing(bench.sides.start(bench.ours, work)) as ours,
            closing(bench.sides.start(bench.ours, work, shares=False)) as plain,
        ):
            steps = bench.in_turn(name, ours, plain)
        yield comparison(name, steps, rows, {"rho": round(work.rho, 2)})
