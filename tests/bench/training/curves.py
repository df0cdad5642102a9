"""Whether both sides do the same work: losses and gradient norms of some steps from the same adapter, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from services.lm.adapters import LoraSettings, add_lora, save_adapter
from services.lm.loading import load
from tests.bench.pairs import Comparison, comparison_of
from tests.bench.training.bench import CHECKPOINTING, Bench
from tests.bench.training.sides import Setting, Took
from tests.bench.training.workload import GROUP, Drawing, Work

TOLERANCE = 0.01
_STEPS = 6
_TRL = Setting("trl", "float32", options={CHECKPOINTING: False, "bf16": False})


class CurvesDiffer(Exception):
    """The sides do not do the same work."""


def equal_curves(bench: Bench) -> Iterator[Comparison]:
    """The furthest relative distance of a step's loss or gradient norm, for each method.

    Raises:
        CurvesDiffer: It is above 1 %.
    """
    adapter = bench.scratch / "adapter"
    loaded = load(bench.sides.model, dtype="float32")
    save_adapter(add_lora(loaded.model, LoraSettings(), seed=1), adapter)
    drawing = Drawing(bench.vocabulary, prefix=120, own=bench.options.own)
    works = (drawing.examples(6), drawing.pairs(3), drawing.rollouts(1, length=24))
    for work in works:
        ours = _curve(bench, Setting("ours", "float32"), work, adapter)
        peer = _curve(bench, replace(_TRL, batch=GROUP if work.method == "grpo" else 1), work, adapter)
        distances = {
            name: max(
                _distance(getattr(one, name), getattr(other, name)) for one, other in zip(ours, peer, strict=True)
            )
            for name in ("loss", "grad_norm")
        }
        losses = [[round(took.loss, 5) for took in side] for side in (ours, peer)]
        norms = [[round(took.grad_norm, 5) for took in side] for side in (ours, peer)]
        details = {"unit": "nats", "losses": losses, "gradient_norms": norms, "furthest_distances": distances}
        print(f"  {work.method}: {distances}", flush=True)
        if max(distances.values()) > TOLERANCE:
            raise CurvesDiffer(f"{work.method}: {details}")
        yield comparison_of(
            f"curves_{work.method}",
            [(one.grad_norm, other.grad_norm) for one, other in zip(ours, peer, strict=True)],
            details,
        )


def _curve(bench: Bench, setting: Setting, work: Work, adapter: Path) -> list[Took]:
    with closing(bench.sides.start(setting, work, adapter=adapter)) as side:
        return [side.step() for _ in range(_STEPS)]


def _distance(one: float, other: float) -> float:
    """Relative, of numbers that may be near 0."""
    return abs(one - other) / max(abs(one), abs(other), 1e-3)
