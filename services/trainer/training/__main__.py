"""`python -m services.trainer.training`: one training process, which does the plans that its service hands to it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from services.chassis.machine.parent import die_with_parent
from services.trainer.training.processes.plans import PlanSocket


def main() -> None:
    """Do plans until there are no more; each reports how it ended."""
    parser = argparse.ArgumentParser(prog="python -m services.trainer.training")
    parser.add_argument("--plans", type=Path, required=True, help="socket of the service, in a folder of these workers")
    parser.add_argument("--parent-pid", type=int, required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--num-workers", type=int, required=True)
    parser.add_argument("--ray-address", default="", help="a cluster that does the plans; empty: this process does")
    arguments = parser.parse_args()
    die_with_parent(arguments.parent_pid)
    plans = PlanSocket(arguments.plans)
    # Whoever takes the machine away gives a grace, in which the step is finished and saved.
    signal.signal(signal.SIGTERM, lambda *_: plans.stop())
    if arguments.ray_address:
        from services.trainer.training.processes.cluster import run_on_cluster

        run_on_cluster(plans, arguments.ray_address)
        return
    from services.trainer.training.worker import run_here

    meeting_file = arguments.plans.with_name("workers")
    run_here(plans, arguments.rank, arguments.num_workers, meeting_file)


if __name__ == "__main__":
    try:
        main()
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        # What has failed may hang as it is taken down: threads that wait for another worker.
        os._exit(1)
