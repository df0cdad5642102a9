"""Other people's programs: their environment, and processes that stay up between measurements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from tests.bench.testing.workload import Workload

LM_EVAL = "lm-eval==0.4.13"
BATCHES = (8, 16, 32, 64)


def environment(folder: Path) -> Path:
    """The Python of a virtual environment in `folder` with the peers; torch and transformers are this one's.

    So both sides compute with the same versions of them.
    """
    python = folder / "bin" / "python"
    if not (folder / ".installed").is_file():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        ours = sysconfig.get_paths()
        theirs = Path(ours["purelib"].replace(str(Path(sys.prefix)), str(folder)))
        (theirs / "drillyard.pth").write_text(ours["purelib"] + "\n", encoding="utf-8")
        subprocess.run([python, "-m", "pip", "install", "--quiet", LM_EVAL], check=True)
        (folder / ".installed").touch()
    return python


def versions(python: Path) -> dict[str, str]:
    """What the peers' environment computes with."""
    names = ("torch", "transformers", "lm_eval", "accelerate")
    code = f"from importlib.metadata import version; print(*map(version, {names}))"
    output = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    return dict(zip(names, output.split(), strict=True))


class HfPeer:
    """One side of `hf_peer` with one model."""

    def __init__(self, python: Path, side: str, model: Path, *, dtype: str, threads: int) -> None:
        """Start it; the model is loaded before the first answer."""
        # Without this project's choice for OpenMP: on a quiet machine a peer is faster with its own.
        inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        environment = {**inherited, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        script = Path(__file__).with_name("hf_peer.py")
        self._process = subprocess.Popen(
            # Without its folder on the path, where modules may be named like the standard library's.
            [python, "-P", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._send({"side": side, "model": str(model), "dtype": dtype, "threads": threads})
        self.answers: list[list[int]] = []

    def run(self, work: Workload, batch: int, end: str) -> float:
        """Cases per second."""
        asked = {"ids": work.ids, "texts": work.texts, "new": work.max_new_tokens}
        self._send({**asked, "batch": batch, "until": [end]})
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        self.answers = answer["answers"]
        return len(work.ids) / float(answer["seconds"])

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


def best_batch(peer: HfPeer, work: Workload, end: str, batches: tuple[int, ...]) -> int:
    """The batch at which the peer is fastest, each tried on one batch of its own size after a first small run."""
    if len(batches) == 1:
        return batches[0]
    peer.run(work.first(2), min(batches), end)
    found = {batch: peer.run(work.first(batch), batch, end) for batch in batches}
    print("  calibration:", ", ".join(f"batch {batch} {speed:.3f} cases/s" for batch, speed in found.items()))
    return max(found, key=lambda batch: found[batch])
