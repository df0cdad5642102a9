"""What the parts share: options, sides, and the peers' settings, of which the best is chosen by trial."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.lm.loading import faster_dtype
from tests.bench.pairs import in_turn
from tests.bench.training.sides import Setting, Side, Sides, Took
from tests.bench.training.workload import Drawing, Work

CHECKPOINTING: Final = "gradient_checkpointing"
# What `SFTConfig()` comes to: weights in float32, computed in bfloat16, and what may be faster.
TRL_DEFAULT: Final = Setting("trl", "float32")
_OPEN: Final = {CHECKPOINTING: False}
_TRL: Final = {
    "bfloat16": (
        TRL_DEFAULT,
        Setting("trl", "float32", options=_OPEN),
        Setting("trl", "bfloat16"),
        Setting("trl", "bfloat16", options=_OPEN),
    ),
    "float32": (
        TRL_DEFAULT,
        Setting("trl", "float32", options={"bf16": False}),
        Setting("trl", "float32", options={"bf16": False} | _OPEN),
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
        return _TRL[faster_dtype()]

    @property
    def unsloth(self) -> tuple[Setting, ...]:
        """Unsloth's, likewise: what it is made for is its default."""
        return tuple(Setting("unsloth", faster_dtype(), options=options) for options in ({}, _OPEN))

    def fastest(self, settings: Sequence[Setting]) -> Setting:
        """The setting with the least processor time for a second step of one row of SFT."""
        program = settings[0].program
        if self.options.best is not None:
            return settings[self.options.best]
        if program not in self._best:
            row = self.drawing().examples(1)
            times = [self._trial(setting, row) for setting in settings]
            self.trials[program] = dict(zip(map(str, settings), times, strict=True))
            print("  calibration, processor seconds a row:", self.trials[program], flush=True)
            self._best[program] = settings[times.index(min(times))]
        return self._best[program]

    def _trial(self, setting: Setting, work: Work) -> float:
        with closing(self.sides.start(setting, work)) as side:
            side.step()
            return round(side.step().processor, 3)
