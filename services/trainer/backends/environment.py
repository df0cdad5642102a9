"""The environment of training processes."""

from __future__ import annotations

import os
import secrets
import sys

from services.chassis.settings import without_proxies
from services.trainer.domain.plan import AttemptPlan

TOKEN = "DRILLYARD_ATTEMPT"


def token_of(training_job_id: str, attempt: int) -> str:
    """Return the value by which every process of an attempt, Ray's own included, is known."""
    return f"{training_job_id}/{attempt}"


def environment_of(plan: AttemptPlan) -> dict[str, str]:
    """Return the environment of an attempt's driver, which all its children inherit."""
    threads = max(1, plan.num_threads // plan.spec.num_workers)
    return {
        **without_proxies(os.environ),
        TOKEN: token_of(plan.training_job_id, plan.attempt),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(threads),
        # Threads that wait by spinning take the time of every other process: fourfold on a busy machine (measured).
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
        # Everything is on this machine; a hub is never asked.
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        # A token of its own for each attempt; Ray would else write one to a home folder that may be read-only.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # The name says another system, the effect is the same here: Ray lives on the loopback interface alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "RAY_TRAIN_METRICS_ENABLED": "0",
        # Under `uv run` Ray would build its workers' environment anew, from a project that need not be this one's.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # The attempt is the work of this machine; Ray's default of 15 leaves it the time that nothing else wants.
        "RAY_worker_niceness": "0",
        # How soon Ray Train notices that the workers have ended, in seconds.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    }
