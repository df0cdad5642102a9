"""What a worker does with a plan, and how it says how that ended."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from services.chassis.telemetry import tracing
from services.lm.errors import LmError
from services.lm.process import give_back_memory
from services.trainer.domain.attempt import AttemptOutcome, TrainingJobPhase
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.examples import BadExampleError
from services.trainer.training.loop import DivergedError, train
from services.trainer.training.preflight.scan import check_rows
from services.trainer.training.processes.plans import PlanSocket
from services.trainer.training.reporter import Reporter, Silence
from services.trainer.training.workers import Workers


class NoGpuError(Exception):
    """The GPUs that are demanded are not there."""


_PERMANENT = (BadExampleError, DivergedError, LmError, NoGpuError, torch.OutOfMemoryError)


def run_here(plans: PlanSocket, rank: int, num_workers: int, meeting_file: Path) -> None:
    """Be the worker `rank` of `num_workers` on this machine, in Ray Train's local mode, until there are no more plans.

    Local mode is Ray Train without a cluster of its own: on one machine that would be a dozen processes that serve
    scheduling, dashboards and data sets, and take most of a minute and a gigabyte before a worker may start.
    """
    serve = partial(_serve, plans, Workers.joined(rank, num_workers, meeting_file))
    TorchTrainer(serve, scaling_config=ScalingConfig(num_workers=0)).fit()


def _serve(plans: PlanSocket, workers: Workers) -> None:
    for plan in plans:
        outcome = do(plan, workers, lambda: plans.is_stopped)
        _free_memory()
        plans.done(outcome)


def do(
    plan: AttemptPlan, workers: Workers, is_stopped: Callable[[], bool], device: torch.device | None = None
) -> AttemptOutcome:
    """Train as the plan says; return how it ended, which is reported.

    Args:
        plan: The attempt.
        workers: The place of this process.
        is_stopped: Whether the attempt shall be saved and ended, besides the service's own word.
        device: What computes; None: what this machine has, as far as the plan allows.

    Raises:
        Exception: It has failed, which is reported; this process cannot do another plan.
    """
    tracing.begin("training-worker")
    try:
        with tracing.span("training worker: attempt", parent=plan.traceparent) as facts:
            facts.attributes |= {"drillyard.job.id": plan.training_job_id, "drillyard.attempt": plan.attempt}
            facts.attributes |= {"drillyard.rank": workers.rank, "drillyard.num_workers": workers.num_workers}
            return _done(plan, workers, is_stopped, device)
    finally:
        tracing.flush()


def _done(
    plan: AttemptPlan, workers: Workers, is_stopped: Callable[[], bool], device: torch.device | None
) -> AttemptOutcome:
    reporter = Reporter(plan, is_stopped=is_stopped) if workers.rank == 0 else Silence(is_stopped)
    try:
        workers = workers.on(device or _device_of(plan, workers))
        if workers.rank == 0:
            reporter.phase(TrainingJobPhase.CHECK_ROWS)
            check_rows(plan)
        outcome = train(plan, workers, reporter)
    except Exception as error:
        # The process boundary: whatever went wrong becomes the reason that a person reads, from whichever worker.
        speaker = reporter if isinstance(reporter, Reporter) else Reporter(plan)
        speaker.close(AttemptOutcome.FAILED, reason_of(error, plan), is_permanent=isinstance(error, _PERMANENT))
        raise
    workers.wait()
    reporter.close(outcome)
    return outcome


def reason_of(error: Exception, plan: AttemptPlan) -> str:
    """Return a sentence or two for a person."""
    if isinstance(error, torch.OutOfMemoryError):
        limit = plan.spec.max_tokens_per_pack
        return (
            f"GPU_OOM: The GPU has no room for {limit} tokens at once. Set max_tokens_per_pack to {limit // 2}: "
            "the examples of a step are then computed in smaller parts, with the same result."
        )
    if isinstance(error, _PERMANENT):
        return str(error)
    return f"A training worker met {type(error).__name__}: {str(error)[:500]}"


def _device_of(plan: AttemptPlan, workers: Workers) -> torch.device:
    num_gpus = torch.cuda.device_count() if plan.device != "cpu" else 0
    if num_gpus >= workers.num_workers:
        return torch.device("cuda", workers.rank)
    if plan.device == "cuda":
        raise NoGpuError(
            f"{workers.num_workers} workers need a GPU each, and this machine shows {num_gpus}. "
            "Set TRAINER_DEVICE=cpu, or lower num_workers."
        )
    return torch.device("cpu")


def _free_memory() -> None:
    gc.collect()
    # What the allocator keeps would count as this process's until its next plan.
    give_back_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
