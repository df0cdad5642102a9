"""Checkpoints: weights, optimizer, the method's state and the position, as safetensors and JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from services.trainer.domain.attempt import Checkpoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.manifest import OPTIMIZER, POSITION, place_for, prune, write_manifest
from services.trainer.training.examples import BadExampleError
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


def save(
    plan: AttemptPlan, model: TrainedModel, optimizer: Optimizer, *, position: Position, state: Mapping[str, Tensor]
) -> Checkpoint:
    """Write a checkpoint, whole or not at all, and drop the oldest beyond the job's limit."""
    folder = place_for(Path(plan.checkpoint_folder), position.step, plan.attempt)
    try:
        folder.mkdir(parents=True)
        model.save(folder)
        save_file(_moments(model.loaded.model, optimizer), folder / OPTIMIZER)
        if state:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / _METHOD)
        (folder / POSITION).write_text(json.dumps(asdict(position)), encoding="utf-8")
        written = write_manifest(folder, step=position.step, attempt=plan.attempt, config_digest=plan.config_digest)
    except BaseException:
        # A full disk must not stay full of what is no checkpoint.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    prune(folder.parent, keep=plan.spec.save_total_limit)
    return written


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
    for name, parameter in trained(model):
        if f"{name}.step" in tensors:
            optimizer.state[parameter] = {
                kind: tensors[f"{name}.{kind}"].clone().to("cpu" if kind == "step" else parameter.device)
                for kind in _MOMENTS
            }


def trained(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """Return the trainable parameters by name, in one fixed order."""
    return sorted((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _moments(model: Any, optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}.{kind}": optimizer.state[parameter][kind].detach().clone().contiguous()
        for name, parameter in trained(model)
        if parameter in optimizer.state
        for kind in _MOMENTS
    }
