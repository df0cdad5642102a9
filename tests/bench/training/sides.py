"""Both sides of a comparison: processes that do one optimizer step whenever they are asked."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from services.lm.adapters import LoraSettings
from services.lm.adapters.settings import ALL_LINEAR
from tests.bench import programs
from tests.bench.pairs import Comparison, comparison_of
from tests.bench.training.workload import GROUP, Work

TRL: Final = ("trl==1.16.0",)
UNSLOTH: Final = ("unsloth==2026.10.9", "torch==2.13.0")
_VERSIONS: Final = ("torch", "transformers", "peft", "trl", "accelerate")
_SCRIPT: Final = Path(__file__).with_name("trl_peer.py")
_LORA: Final = {"r": LoraSettings().r, "lora_alpha": LoraSettings().lora_alpha, "target_modules": ALL_LINEAR}


@dataclass(frozen=True)
class Took:
    """What a step took.

    Attributes:
        seconds: On the wall.
        processor: Seconds of all threads.
        loss: Before the step.
        peak: The most memory that the process has held, in bytes; with a GPU, of the GPU.
        grad_norm: Before clipping.
        generate_seconds: The part of `seconds` in which rollouts were written.
    """

    seconds: float
    processor: float
    loss: float
    peak: int
    grad_norm: float
    generate_seconds: float


@dataclass(frozen=True)
class Setting:
    """How a side computes; the peers' own settings are those of TRL's configuration.

    Attributes:
        program: "ours", "trl" or "unsloth".
        dtype: Of the base weights.
        batch: Rows that a peer computes at once; 0: all of a step.
    """

    program: str
    dtype: str
    batch: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """As the table names it."""
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        batch = "" if self.program == "ours" else f", {self.batch or 'all'} rows at once"
        return f"{self.dtype} weights{batch}" + (f", {options}" if options else "")


@dataclass(frozen=True)
class Sides:
    """Starts sides that share model, threads and rates."""

    model: Path
    build: Path
    threads: int
    max_tokens: int
    device: str = "cpu"
    learning_rate: float = 2e-4

    def start(
        self, setting: Setting, work: Work, *, adapter: Path | None = None, generates: bool = False, shares: bool = True
    ) -> Side:
        """A side that trains on `work` at each step."""
        message = {
            "program": setting.program,
            "method": work.method,
            "model": str(self.model),
            "rows": work.rows,
            "dtype": setting.dtype,
            "batch": setting.batch or len(work.rows),
            "settings": dict(setting.options),
            "threads": self.threads,
            "device": self.device,
            "learning_rate": self.learning_rate,
            "max_tokens": self.max_tokens,
            "adapter": str(adapter) if adapter else "",
            "lora": _LORA,
            "num_generations": GROUP,
            "generates": generates,
            "shares": shares,
        }
        log = self.build / f"{setting.program}-{work.method}.log"
        process = programs.LineProcess(self._command(setting), log=log, is_foreign=setting.program != "ours")
        process.send(message)
        return Side(process, len(work.rows))

    def versions(self, setting: Setting) -> dict[str, str]:
        """What a side computes with."""
        names = _VERSIONS if setting.program != "unsloth" else (*_VERSIONS, "unsloth", "unsloth_zoo")
        return programs.versions(self.python(setting), names)

    def python(self, setting: Setting) -> Path:
        """The Python of a peer."""
        if setting.program == "unsloth":
            # torchvision for CUDA does not load beside a torch for CPUs, and text needs none.
            folder = self.build / "venv-unsloth"
            return programs.environment(folder, UNSLOTH, inherits=False, unwanted=("torchvision",))
        return programs.environment(self.build / "venv-trl", TRL)

    def _command(self, setting: Setting) -> list[str | Path]:
        if setting.program == "ours":
            return [sys.executable, "-m", "tests.bench.training.ours"]
        # Without its folder on the path, where modules may be named like the standard library's.
        return [self.python(setting), "-P", _SCRIPT]


class Side:
    """A process that trains."""

    def __init__(self, process: programs.LineProcess, num_rows: int) -> None:
        """`num_rows` are those of a step."""
        self._process, self.num_rows = process, num_rows

    def step(self) -> Took:
        """Do a step.

        Raises:
            ProgramEndedError: It cannot.
        """
        answer = self._process.ask({})
        return Took(**{"grad_norm": 0.0, "generate_seconds": 0.0} | answer)

    def close(self) -> None:
        """End it."""
        self._process.close()


def comparison(
    name: str,
    steps: Sequence[tuple[Took, Took]],
    rows: tuple[int, int],
    details: Mapping[str, Any],
    *,
    updates_only: bool = False,
) -> Comparison:
    """Rows a second of both sides, with processor time beside it, which other work on the machine changes less.

    Args:
        name: Of the comparison.
        steps: What pairs of steps took, ours first.
        rows: Of a step of ours, and of the peer.
        details: What they were measured with.
        updates_only: Leaves out the time in which rollouts were written.
    """
    ours, peer = zip(*steps, strict=True)
    speeds = [
        [count / (took.seconds - (took.generate_seconds if updates_only else 0.0)) for took in side]
        for side, count in zip((ours, peer), rows, strict=True)
    ]
    processor = [
        median(took.processor for took in side) / count for side, count in zip((ours, peer), rows, strict=True)
    ]
    known = {
        "rows_per_step": rows,
        "ranges": [f"{min(side):.3f} to {max(side):.3f}" for side in speeds],
        "processor_seconds_per_row": [round(seconds, 3) for seconds in processor],
        "ratio_of_processor_seconds": round(processor[1] / processor[0], 2),
        "peak_gigabytes": [round(max(took.peak for took in side) / 1e9, 2) for side in (ours, peer)],
        "first_losses": [round(side[0].loss, 4) for side in (ours, peer)],
    }
    if updates_only:
        known["processor_seconds_per_row"] = "with rollouts: see the whole step"
        del known["ratio_of_processor_seconds"]
    return comparison_of(name, list(zip(*speeds, strict=True)), known | dict(details))
