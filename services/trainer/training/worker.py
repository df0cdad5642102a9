"""The entry point of one Ray Train worker: runs the loop and says how it ended."""

from __future__ import annotations

from pathlib import Path

import ray.train

from services.lm.errors import LmError
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.examples import BadExampleError
from services.trainer.training.loop import DivergedError, train
from services.trainer.training.reporter import Reporter, Silence
from services.trainer.training.workers import Workers

_PERMANENT = (BadExampleError, DivergedError, LmError)


def run(config: dict[str, str]) -> None:
    """Train as `config["plan"]` says, among the workers of this Ray Train run."""
    plan = AttemptPlan.from_json(config["plan"])
    context = ray.train.get_context()
    rank, meeting_file = context.get_world_rank(), Path(plan.scratch_folder) / "workers"
    reporter = Reporter(plan) if rank == 0 else Silence()
    try:
        workers = Workers.joined(rank, context.get_world_size(), meeting_file)
        outcome = train(plan, workers, reporter)
    except Exception as error:
        # The process boundary: whatever went wrong becomes the reason that a person reads, from whichever worker.
        speaker = reporter if isinstance(reporter, Reporter) else Reporter(plan)
        speaker.close(AttemptOutcome.FAILED, reason_of(error), is_permanent=isinstance(error, _PERMANENT))
        raise
    workers.wait()
    reporter.close(outcome)


def reason_of(error: Exception) -> str:
    """Return a sentence or two for a person."""
    if isinstance(error, LmError):
        return str(error)
    if isinstance(error, _PERMANENT):
        return str(error)
    return f"A training worker met {type(error).__name__}: {str(error)[:500]}"
