"""A training process without Ray and torch: it speaks the product's own reports and writes its checkpoints."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from services.chassis.machine.parent import die_with_parent
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.examples import num_steps, read_dataset
from services.trainer.training.processes.plans import PlanSocket
from services.trainer.training.reporter import Reporter
from tests.storm.compute.checkpoint import chain_after, read_position, save

STEP_SECONDS = 0.06
AT_WORK = ".at-work"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plans", type=Path, required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--num-workers", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent_pid)
    plans = PlanSocket(arguments.plans)
    for plan in plans:
        # By this open file an onlooker sees which job a process is at.
        with (arguments.plans.parent / f"{plan.training_job_id}{AT_WORK}").open("w"):
            train(plan)
        plans.done(AttemptOutcome.SUCCEEDED)


def train(plan: AttemptPlan) -> None:
    num_examples = len(read_dataset(Path(plan.dataset_file)).train)
    total = num_steps(num_examples, batch_size=plan.spec.batch_size, num_epochs=plan.spec.num_epochs)
    reporter = Reporter(plan)
    reporter.phase("train")
    begin, chain = read_position(plan.resume_from)
    reporter.step(begin, total, {})
    for step in range(begin, total):
        time.sleep(STEP_SECONDS)
        chain = chain_after(step + 1, plan.spec.seed, chain, begin=step)
        reporter.step(step + 1, total, {"loss": 1 / (step + 1)})
        if step + 1 == total or (step + 1) % plan.spec.save_steps == 0:
            reporter.flush()
            reporter.checkpoint(save(plan, step + 1, chain))
    reporter.close(AttemptOutcome.SUCCEEDED)


if __name__ == "__main__":
    main()
