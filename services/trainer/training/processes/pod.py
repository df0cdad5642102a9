"""`python -m services.trainer.training.processes.pod PLAN`: one attempt in a pod of a cluster, and the pod's end.

In a RayJob this is the driver on the head, and the workers are in pods of their own. In a Job it starts Ray itself.
"""

from __future__ import annotations

import argparse
import base64
from pathlib import Path

from services.trainer.backends.kubernetes_objects import SCRATCH
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.processes.ending import at_work, stop


def main() -> None:
    """Do the plan, or ask the processes of this pod to save and end, and wait for that."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    parser.add_argument("plan", nargs="?", help="an attempt's plan as JSON, in base 64")
    parser.add_argument("--stop", action="store_true", help="save and end what this pod does")
    arguments = parser.parse_args()
    if arguments.stop:
        stop(Path(SCRATCH))
        return
    plan = AttemptPlan.from_json(base64.urlsafe_b64decode(arguments.plan).decode())
    with at_work(Path(plan.scratch_folder)):
        from services.trainer.training.processes.cluster import run_in_pod

        run_in_pod(plan)


if __name__ == "__main__":
    main()
