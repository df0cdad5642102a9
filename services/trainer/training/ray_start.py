"""Starts Ray on this machine, small and for one attempt; it ends with the process that calls this."""

from __future__ import annotations

import ray

from services.trainer.domain.plan import AttemptPlan

# The least that Ray accepts; nothing of ours travels through its object store.
_OBJECT_STORE_BYTES = 80 << 20
# Ray starts an idle process per CPU while it starts itself: two more than workers are the controller and its helper.
_OTHER_PROCESSES = 2


def start_ray(plan: AttemptPlan) -> None:
    """Start Ray on the loopback interface, with processes for the plan's workers."""
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
