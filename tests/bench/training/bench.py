"""What the parts share: options, sides, and the peers' settings, of which the best is chosen by trial."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from services.lm.loading import faster_dtype
from tests.bench.pairs import in_turn
from tests.bench.training.sides import Setting, Side, Sides, Took
from tests.bench.training.workload import Drawing, Work

CHECKPOINTING: Final = "gradient_checkpointing"
# Rows that TRL's trainers compute at once unless told otherwise.
_DEFAULT_BATCH: Final = 8
# What `SFTConfig()` comes to: weights in float32, computed in bfloat16, and what may be faster.
_TRL_DEFAULT: Final = Setting("trl", "float32")
OPEN: Final = {CHECKPOINTING: False}
_TRL: Final = {
    "bfloat16": (
        _TRL_DEFAULT,
        Setting("trl", "float32", options=OPEN),
        Setting("trl", "bfloat16"),
        Setting("trl", "bfloat16", options=OPEN),
    ),
    "float32": (
        _TRL_DEFAULT,
        Setting("trl", "float32", options={"bf16": False}),
        Setting("trl", "float32", options={"bf16": False} | OPEN),
    ),
}


@dataclass
class Bench:
    """One call of the bench."""

    options: argparse.Namespace
    sides: Sides
    vocabulary: int
    scratch: Path
    trials: dict[str, dict[str, float]] = field(default_factory=dict)
    _best: dict[str, Setting] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes, which more rows at once make faster."""
        return bool(self.options.device == "cuda")

    @property
    def ours(self) -> Setting:
        """How we compute."""
        return Setting("ours", self.options.dtype)

    def drawing(self, seed: int = 0) -> Drawing:
        """Rows of the sizes that were asked for."""
        return Drawing(self.vocabulary, prefix=self.options.prefix, own=self.options.own, seed=seed)

    def in_turn(self, name: str, ours: Side, peer: Side) -> list[tuple[Took, Took]]:
        """Steps of both, after one of each that is not counted: memory is touched and code compiled in it."""
        ours.step()
        peer.step()
        pairs = in_turn(ours.step, peer.step, pairs=self.options.pairs, budget_seconds=self.options.budget)
        for one, other in pairs:
            speeds = ours.num_rows / one.seconds, peer.num_rows / other.seconds
            print(f"  {name}: {speeds[0]:.3f} against {speeds[1]:.3f} rows/s", flush=True)
        return pairs

    @property
    def trl(self) -> tuple[Setting, ...]:
        """TRL's settings that may be its best, its default first."""
        settings = _TRL[faster_dtype(self.options.device)]
        return tuple(replace(setting, batch=batch) for batch in self._peer_batches() for setting in settings)

    @property
    def unsloth(self) -> tuple[Setting, ...]:
        """Unsloth's, likewise: what it is made for is its default."""
        dtype = faster_dtype(self.options.device)
        return tuple(
            Setting("unsloth", dtype, batch=batch, options=options)
            for batch in self._peer_batches()
            for options in ({}, OPEN)
        )

    @property
    def trl_default(self) -> Setting:
        """What TRL does unless told otherwise."""
        return self.trl[0]

    def fastest(self, settings: Sequence[Setting]) -> Setting:
        """The setting with which a second step of SFT takes least: processor time of a row, on a GPU time of a step."""
        program = settings[0].program
        if self.options.best is not None:
            return settings[self.options.best]
        if program not in self._best:
            work = self.drawing().examples(self.options.peer_rows)
            times = [self._trial(setting, work) for setting in settings]
            self.trials[program] = dict(zip(map(str, settings), times, strict=True))
            print("  calibration, seconds a step:", self.trials[program], flush=True)
            self._best[program] = settings[times.index(min(times))]
        return self._best[program]

    def _trial(self, setting: Setting, work: Work) -> float:
        with closing(self.sides.start(setting, work)) as side:
            side.step()
            took = side.step()
            return round(took.seconds if self.on_gpu else took.processor, 3)

    def _peer_batches(self) -> tuple[int, ...]:
        """Rows that a peer computes at once: what was asked for; on a GPU its default, and all of a step."""
        asked = self.options.peer_batch
        if asked is not None:
            return (asked,)
        return (_DEFAULT_BATCH, 0) if self.on_gpu else (1,)
