"""The checkpoints of made-up training: the product's own manifest around files whose content is a chain of digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from services.trainer.domain.attempt import Checkpoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.manifest import place_for, prune, write_manifest
from tests.unit.registry.model_folders import write_adapter

ADAPTER, POSITION, CHAIN = "adapter", "position.json", "storm_chain"


def chain_after(steps: int, seed: int, chain: str = "", *, begin: int = 0) -> str:
    """Return the state of training after `steps` steps, from `chain` after `begin` of them: no step can be left out."""
    for step in range(begin, steps):
        chain = hashlib.sha256(f"{chain}/{seed}/{step}".encode()).hexdigest()
    return chain


def read_position(folder: str) -> tuple[int, str]:
    """Return the step and the state of a checkpoint; those of the beginning when there is none."""
    if not folder:
        return 0, ""
    document = json.loads((Path(folder) / POSITION).read_text(encoding="utf-8"))
    return int(document["step"]), str(document["chain"])


def save(plan: AttemptPlan, step: int, chain: str) -> Checkpoint:
    """Write a checkpoint, and drop the oldest beyond the job's limit."""
    folder = place_for(Path(plan.checkpoint_folder), step, plan.attempt)
    write_adapter(folder / ADAPTER, **{CHAIN: chain})
    write_file(folder / "optimizer.safetensors", chain * 100)
    write_file(folder / POSITION, json.dumps({"step": step, "chain": chain}))
    written = write_manifest(folder, step=step, attempt=plan.attempt, config_digest=plan.config_digest)
    prune(folder.parent, keep=plan.spec.save_total_limit)
    return written


def write_file(path: Path, text: str) -> None:
    """Write one file of a checkpoint."""
    path.write_text(text, encoding="utf-8")
