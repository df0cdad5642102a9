"""Plans that a Ray cluster does: this process is its driver, and Ray Train's workers train there."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Set
from dataclasses import replace
from functools import partial
from pathlib import Path

import ray
import ray.train
import ray.train.torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from services.chassis.errors import FailedPrecondition, NotFound, ServiceError
from services.lm.process import usable_cores
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.processes.artifacts import fetched
from services.trainer.training.processes.ending import ask_to_stop, at_work, is_stopped, pass_on_stop
from services.trainer.training.processes.plans import PlanSocket
from services.trainer.training.reporter import Reporter
from services.trainer.training.workers import collective_backend

_REPORT_SECONDS = 10.0
_LOOK_SECONDS = 0.5
# Workers wait for others to leave the cluster, and each of them imports torch before it starts.
_SETTINGS = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5"}


def run_on_cluster(plans: PlanSocket, address: str) -> None:
    """Let the cluster at `address` do plans until there are no more.

    Raises:
        Exception: One has failed, which is reported.
    """
    for plan in plans:
        _run(plan, address)
        plans.done(AttemptOutcome.SUCCEEDED)


def run_in_pod(plan: AttemptPlan) -> None:
    """Do a plan by the cluster that this process was submitted to, or else by Ray in this very pod.

    Raises:
        Exception: It has failed, which is reported.
    """
    _run(plan, None)


def _run(plan: AttemptPlan, address: str | None) -> None:
    try:
        if not ray.is_initialized():
            ray.init(address=address, logging_level="WARNING")
        # In the cluster, since its controller must run on one of its machines.
        attempt = ray.remote(num_cpus=0, runtime_env={"env_vars": _SETTINGS})(_fit).remote(plan.to_json())
        if plan.artifacts_url:
            folder = Path(plan.scratch_folder)
            pass_on_stop(folder, partial(_has_ended, attempt), partial(_ask_pods, folder))
        ray.get(attempt)
    except Exception as error:
        # The process boundary: a worker's own report comes first and stays; this one tells of all other ends.
        traceback.print_exc()
        reporter = Reporter(plan, patience_seconds=_REPORT_SECONDS, on_fenced=lambda: None)
        reporter.close(AttemptOutcome.FAILED, _reason_of(error, address))
        raise


def _has_ended(attempt: ray.ObjectRef) -> bool:
    return bool(ray.wait([attempt], timeout=_LOOK_SECONDS)[0])


def _ask_pods(folder: Path, told: Set[str]) -> Set[str]:
    """Ask those in all pods of the cluster to save, but for the ones that were told, and return the others."""
    pods = {node["NodeID"] for node in ray.nodes() if node["Alive"]} - told
    for pod in pods:
        there = NodeAffinitySchedulingStrategy(pod, soft=False)
        ray.remote(num_cpus=0, scheduling_strategy=there)(ask_to_stop).remote(folder)
    return pods


def _reason_of(error: Exception, address: str | None) -> str:
    if address is None:
        return f"Ray ended the attempt with {type(error).__name__}: {_first_line(error)}"
    if isinstance(error, ConnectionError):
        return (
            f"The Ray cluster at {address} takes connections, but lets this service not in: set TRAINER_RAY_TOKEN_FILE "
            "to a file with its token."
        )
    return f"The Ray cluster at {address} ended the attempt with {type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _fit(plan_json: str) -> None:
    plan = AttemptPlan.from_json(plan_json)
    num_workers = plan.spec.num_workers
    uses_gpu = plan.device == "cuda" or (plan.device == "auto" and ray.cluster_resources().get("GPU", 0) >= num_workers)
    trainer = TorchTrainer(
        _train,
        train_loop_config={"plan": plan_json},
        torch_config=TorchConfig(backend=collective_backend(uses_gpu=uses_gpu)),
        scaling_config=ScalingConfig(num_workers=num_workers, use_gpu=uses_gpu),
        run_config=RunConfig(
            # A name of its own for each attempt: what Ray remembers of another can be torn, and is never needed.
            name=f"{plan.training_job_id}-{plan.attempt}",
            storage_path=str(Path(plan.checkpoint_folder) / "ray"),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    trainer.fit()


def _train(config: dict[str, str]) -> None:
    """Be one worker of a Ray Train run."""
    plan = AttemptPlan.from_json(config["plan"])
    if not plan.artifacts_url:
        _check_shared(plan)
        _do(plan, lambda: ray.train.get_preemption_info() is not None)
        return
    folder = Path(plan.scratch_folder)
    with at_work(folder):
        _do(_here(plan), lambda: is_stopped(folder))


def _do(plan: AttemptPlan, stops: Callable[[], bool]) -> None:
    from services.trainer.training.worker import do
    from services.trainer.training.workers import Workers

    context = ray.train.get_context()
    workers = Workers(context.get_world_rank(), context.get_world_size())
    do(plan, workers, stops, ray.train.torch.get_device())


def _here(plan: AttemptPlan) -> AttemptPlan:
    """Return a plan with its artifacts brought to this pod, and a share of the pod's cores for each of its workers."""
    context = ray.train.get_context()
    num_threads = max(1, usable_cores() // context.get_local_world_size()) * context.get_world_size()
    try:
        return replace(fetched(plan), num_threads=num_threads)
    except ServiceError as error:
        # Nobody else says it in these words.
        is_permanent = isinstance(error, NotFound | FailedPrecondition)
        Reporter(plan).close(AttemptOutcome.FAILED, f"An input cannot be fetched: {error}", is_permanent=is_permanent)
        raise


def _check_shared(plan: AttemptPlan) -> None:
    """Return when this machine of the cluster has what the attempt reads.

    Raises:
        FileNotFoundError: It has not.
    """
    paths = (plan.base_folder, plan.adapter_folder, plan.dataset_file, plan.resume_from, plan.validation_file)
    absent = [path for path in paths if path and not Path(path).exists()]
    if absent:
        raise FileNotFoundError(
            f"The machine {socket.gethostname()} of the Ray cluster does not see {absent[0]}: mount the trainer's data "
            "folder at the same path on every machine of the cluster."
        )
