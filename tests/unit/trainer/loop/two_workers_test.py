"""Two workers train what one does, by examples and by their own answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from services.trainer.domain.plan import AttemptPlan
from tests.integration.processes import ROOT
from tests.unit.trainer.grpo.training_test import plan_of, run, weights_of
from tests.unit.trainer.training_bench import write_plan

# They share their imports: the second is forked before torch computes anything.
WORKERS = """
import json, os, sys
from pathlib import Path
import torch.distributed
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.loop import train
from services.trainer.training.workers import Workers
from tests.unit.trainer.training_bench import Notes
other = os.fork()
rank = 0 if other else 1
torch.distributed.init_process_group("gloo", init_method=sys.argv[1], rank=rank, world_size=2)
values = []
for path in sys.argv[2:]:
    notes = Notes()
    train(AttemptPlan.read(Path(path)), Workers(rank, 2), notes)
    values.append(notes.values)
os.write(1, (json.dumps(values) + os.linesep).encode())
if other:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
"""


def trained_by_two(folder: Path, plans: list[AttemptPlan]) -> list[list[dict[str, dict[str, float]]]]:
    """Return the values of each plan, as each of two workers noted them."""
    files = [folder / f"{number}.json" for number in range(len(plans))]
    for file, plan in zip(files, plans, strict=True):
        file.write_text(plan.to_json(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, f"file://{folder}/meeting", *map(str, files)],
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen", "GLOO_SOCKET_IFNAME": "lo", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[-2:]]


def both(folder: Path) -> list[AttemptPlan]:
    (folder / "sft").mkdir(parents=True)
    chosen: dict[str, Any] = {"num_iterations": 2, "num_generations": 3}
    return [write_plan(folder / "sft", learning_rate=1e-2), plan_of(folder / "grpo", **chosen)]


@pytest.mark.timeout(300)
def test_two_workers_come_to_the_curves_and_the_weights_of_one(tmp_path: Path) -> None:
    alone, together = both(tmp_path / "alone"), both(tmp_path / "together")
    expected = [run(plan).values for plan in alone]
    first, second = trained_by_two(tmp_path, together)
    compared = (("loss",), ("loss", "reward", "kl", "entropy", "mixed_groups"))
    for number, metrics in enumerate(compared):
        for metric in metrics:
            values = {int(step): value for step, value in first[number][metric].items()}
            assert values == pytest.approx(expected[number][metric], abs=1e-4), metric
    assert first[0]["loss"] == second[0]["loss"]
    weights = [weights_of(plans[0], 8) for plans in (alone, together)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])
