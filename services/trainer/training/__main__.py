"""`python -m services.trainer.training --attempt-file FILE`: the driver of one attempt."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

from services.chassis.machine.parent import die_with_parent
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan

_REPORT_SECONDS = 10.0
# The least that Ray accepts; nothing of ours travels through its object store.
_OBJECT_STORE_BYTES = 80 << 20
# Ray starts an idle process per CPU while it starts itself: two more than workers are the controller and its helper.
_OTHER_PROCESSES = 2


def main() -> int:
    """Run the attempt; 0 when its workers ended well, 1 when not. Its own report says how."""
    parser = argparse.ArgumentParser(prog="python -m services.trainer.training")
    parser.add_argument("--attempt-file", type=Path, required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent_pid)
    plan = AttemptPlan.read(arguments.attempt_file)
    # While Ray starts its processes, this one has seconds to look at the rows and to import Ray Train.
    import ray  # noqa: F401

    preparing = threading.Thread(target=_prepare, args=(plan,))
    preparing.start()
    try:
        _start_ray(plan)
        preparing.join()
        _fit(plan)
    except Exception as error:
        # The process boundary: the workers' own report comes first and stays; this one tells of all other ends.
        traceback.print_exc()
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        _report_failure(plan, f"Ray Train ended with {type(error).__name__}: {first[:300]}")
        return 1
    return 0


def _prepare(plan: AttemptPlan) -> None:
    """End the process, before Ray has a worker, when a row of the dataset cannot be trained on."""
    from services.lm.errors import LmError
    from services.trainer.training.examples import BadExampleError
    from services.trainer.training.preflight.scan import check_rows

    try:
        check_rows(plan)
    except (BadExampleError, LmError) as error:
        _report_failure(plan, str(error), is_permanent=True)
        _exit(1)
    import services.trainer.training.ray_run  # noqa: F401


def _start_ray(plan: AttemptPlan) -> None:
    """Start Ray on the loopback interface, small and for one attempt; it ends with this process."""
    import ray

    ray.init(
        address="local",
        num_cpus=plan.spec.num_workers + _OTHER_PROCESSES,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        logging_level="WARNING",
        _node_ip_address="127.0.0.1",
        _temp_dir=plan.scratch_folder,
    )


def _fit(plan: AttemptPlan) -> None:
    from services.trainer.training.ray_run import fit

    fit(plan)


def _report_failure(plan: AttemptPlan, reason: str, *, is_permanent: bool = False) -> None:
    from services.trainer.training.reporter import Reporter

    reporter = Reporter(plan, patience_seconds=_REPORT_SECONDS, on_fenced=lambda: None)
    reporter.close(AttemptOutcome.FAILED, reason, is_permanent=is_permanent)


def _exit(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    # Ray's own shutdown takes seconds, and its processes end with this one.
    os._exit(code)


if __name__ == "__main__":
    _exit(main())
