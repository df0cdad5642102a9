"""The peers of testing: transformers' `generate` and lm-eval's HF backend."""

from __future__ import annotations

from pathlib import Path

from tests.bench import programs
from tests.bench.testing.workload import Workload

LM_EVAL = "lm-eval==0.4.13"
BATCHES = (8, 16, 32, 64)


def environment(folder: Path) -> Path:
    """The Python of a virtual environment in `folder` with the peers."""
    return programs.environment(folder, [LM_EVAL])


def versions(python: Path) -> dict[str, str]:
    """What the peers' environment computes with."""
    return programs.versions(python, ("torch", "transformers", "lm_eval", "accelerate"))


class HfPeer:
    """One side of `hf_peer` with one model."""

    def __init__(self, python: Path, side: str, model: Path, *, dtype: str, threads: int) -> None:
        """Start it; the model is loaded before the first answer."""
        self._process = programs.LineProcess(
            # Without its folder on the path, where modules may be named like the standard library's.
            [python, "-P", Path(__file__).with_name("hf_peer.py")],
            is_foreign=True,
        )
        self._process.send({"side": side, "model": str(model), "dtype": dtype, "threads": threads})
        self.answers: list[list[int]] = []

    def run(self, work: Workload, batch: int, end: str) -> float:
        """Cases per second."""
        asked = {"ids": work.ids, "texts": work.texts, "new": work.max_new_tokens}
        answer = self._process.ask({**asked, "batch": batch, "until": [end]})
        self.answers = answer["answers"]
        return len(work.ids) / float(answer["seconds"])

    def close(self) -> None:
        """End it."""
        self._process.close()


def best_batch(peer: HfPeer, work: Workload, end: str, batches: tuple[int, ...]) -> int:
    """The batch at which the peer is fastest, each tried on one batch of its own size after a first small run."""
    if len(batches) == 1:
        return batches[0]
    peer.run(work.first(2), min(batches), end)
    found = {batch: peer.run(work.first(batch), batch, end) for batch in batches}
    print("  calibration:", ", ".join(f"batch {batch} {speed:.3f} cases/s" for batch, speed in found.items()))
    return max(found, key=lambda batch: found[batch])
