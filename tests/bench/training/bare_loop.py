"""The training loop of a plan without service, Ray or store: `python -m tests.bench.training.bare_loop`.

Reads the plan as a line, and prints the seconds between the first step and the last.
"""

from __future__ import annotations

import sys
import time

from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.loop import train
from services.trainer.training.reporter import Silence
from services.trainer.training.workers import Workers


class _Clock(Silence):
    """Remembers when steps were done."""

    def __init__(self) -> None:
        super().__init__()
        self.times: dict[int, float] = {}

    def step(self, done: int, total: int, values: dict[str, float]) -> None:
        self.times.setdefault(done, time.perf_counter())


def main() -> None:
    """Train."""
    plan = AttemptPlan.from_json(sys.stdin.readline())
    clock = _Clock()
    if train(plan, Workers(), clock) is not AttemptOutcome.SUCCEEDED:
        raise SystemExit("The loop did not end well.")
    print(clock.times[plan.spec.max_steps] - clock.times[1], flush=True)


if __name__ == "__main__":
    main()
