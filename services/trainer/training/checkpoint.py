"""Checkpoints: weights, optimizer, the method's state and the position, as safetensors and JSON, beside the steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from services.chassis.errors import ServiceError
from services.trainer.domain.attempt import Checkpoint, best_step
from services.trainer.domain.plan import AttemptPlan
from services.trainer.manifest import OPTIMIZER, POSITION, place_for, prune, write_manifest
from services.trainer.training.examples import BadExampleError
from services.trainer.training.processes.artifacts import stored
from services.trainer.training.reporter import Reporter, Silence
from services.trainer.training.weights import TrainedModel

_METHOD: Final = "method.safetensors"
_MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Position:
    """How far training is; order, rate and random numbers are functions of step and seed.

    Attributes:
        dtype: What the model is computed in.
        scores: What was measured on the way, as (step, score).
    """

    step: int
    dtype: str
    scores: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Saved:
    """What an attempt goes on from, beside weights and optimizer."""

    position: Position
    state: Mapping[str, Tensor]


@dataclass(frozen=True)
class Snapshot:
    """A copy of all that a checkpoint holds, which later steps do not touch.

    Attributes:
        position: How far training is.
        write_weights: Writes the trained weights into a folder.
        moments: The optimizer's.
        state: The method's.
    """

    position: Position
    write_weights: Callable[[Path], None]
    moments: Mapping[str, Tensor]
    state: Mapping[str, Tensor]


def snapshot(model: TrainedModel, optimizer: Optimizer, *, position: Position, state: Mapping[str, Tensor]) -> Snapshot:
    """Copy what a checkpoint holds to the CPU's memory."""
    return Snapshot(position, model.snapshot(), _moments(model.loaded.model, optimizer), _copied(state))


def write(plan: AttemptPlan, content: Snapshot) -> Checkpoint:
    """Write a checkpoint, whole or not at all, and drop the oldest beyond the job's limit, but not the best."""
    position = content.position
    folder = place_for(Path(plan.checkpoint_folder), position.step, plan.attempt)
    try:
        folder.mkdir(parents=True)
        content.write_weights(folder)
        save_file(dict(content.moments), folder / OPTIMIZER)
        if content.state:
            save_file(dict(content.state), folder / _METHOD)
        (folder / POSITION).write_text(json.dumps(asdict(position)), encoding="utf-8")
        written = write_manifest(folder, step=position.step, attempt=plan.attempt, config_digest=plan.config_digest)
    except BaseException:
        # A full disk must not stay full of what is no checkpoint.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    prune(folder.parent, keep=plan.spec.save_total_limit, best=best_step(dict(position.scores)))
    return written


class CheckpointWriter:
    """Writes one checkpoint at a time in a thread of its own, and waits for the last one when the block ends.

    One that cannot be written is told, and the next one comes in its place; without a next one the block fails.
    """

    def __init__(self, plan: AttemptPlan, reporter: Reporter | Silence) -> None:
        self._plan = plan
        self._reporter = reporter
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        """Begin with nothing to write."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        """Wait for what is being written; when the block ended well, raise what kept it from being written."""
        self._pool.shutdown()
        if kind is None and self._writing is not None:
            self._writing.result()

    def save(self, take: Callable[[], Snapshot]) -> None:
        """Wait for the checkpoint before, take a copy of the state and return while it is written.

        Raises:
            ServiceAwayError: The trainer service took no report of the steps before.
        """
        self._end_last()
        snapshot = take()
        self._writing = self._pool.submit(self._write, snapshot)

    def _end_last(self) -> None:
        if self._writing is None:
            return
        try:
            self._writing.result()
        except (OSError, SafetensorError, ServiceError) as error:
            self._reporter.notice(f"A checkpoint could not be written, and the next one is tried: {error}")

    def _write(self, snapshot: Snapshot) -> None:
        # The curve up to a checkpoint is stored before it exists: an attempt that goes on from it leaves no gap.
        self._reporter.flush()
        self._reporter.checkpoint(stored(self._plan, write(self._plan, snapshot)))


def read_saved(plan: AttemptPlan) -> Saved | None:
    """Return the position and the method's state of the checkpoint that the attempt goes on from, if there is one."""
    if not plan.resume_from:
        return None
    folder = Path(plan.resume_from)
    document = json.loads((folder / POSITION).read_text(encoding="utf-8"))
    scores = tuple((step, score) for step, score in document.get("scores", ()))
    position = Position(document["step"], document["dtype"], scores)
    return Saved(position, load_file(folder / _METHOD) if (folder / _METHOD).is_file() else {})


def restore_optimizer(plan: AttemptPlan, model: Any, optimizer: Optimizer) -> None:
    """Give the optimizer the moments it had at the checkpoint, bit for bit; the model has its weights already.

    Raises:
        BadExampleError: The checkpoint has none.
    """
    if not plan.resume_from:
        return
    folder = Path(plan.resume_from)
    if not (folder / OPTIMIZER).is_file():
        raise BadExampleError(f"The checkpoint lacks {OPTIMIZER}, so training cannot go on exactly: start a new job.")
    tensors = load_file(folder / OPTIMIZER)
    parameters = trained(model)
    names = {f"{name}.{kind}" for name, _ in parameters for kind in _MOMENTS}
    if not tensors or tensors.keys() - names:
        strange = min(tensors.keys() - names, default="nothing")
        raise BadExampleError(
            f"The optimizer of the checkpoint ({OPTIMIZER}) is not that of the trained weights: it holds {strange}."
        )
    for name, parameter in parameters:
        if f"{name}.step" in tensors:
            optimizer.state[parameter] = {
                kind: tensors[f"{name}.{kind}"].clone().to("cpu" if kind == "step" else parameter.device)
                for kind in _MOMENTS
            }


def trained(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """Return the trainable parameters by name, in one fixed order."""
    return sorted((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _moments(model: Any, optimizer: Optimizer) -> dict[str, Tensor]:
    return _copied(
        {
            f"{name}.{kind}": optimizer.state[parameter][kind]
            for name, parameter in trained(model)
            if parameter in optimizer.state
            for kind in _MOMENTS
        }
    )


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
