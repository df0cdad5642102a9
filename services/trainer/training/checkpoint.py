"""Checkpoints: adapter, optimizer and position, as safetensors and JSON."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from services.lm.adapters import ALL_LINEAR, LoraSettings, add_lora, load_adapter, save_adapter
from services.trainer.domain.attempt import Checkpoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.manifest import place_for, prune, write_manifest

ADAPTER: Final = "adapter"
_OPTIMIZER: Final = "optimizer.safetensors"
_POSITION: Final = "position.json"
_MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Position:
    """How far training is, and in what precision; order, rate and random numbers are functions of step and seed."""

    step: int
    dtype: str


def save(plan: AttemptPlan, model: PeftModel, optimizer: Optimizer, position: Position) -> Checkpoint:
    """Write a checkpoint, whole or not at all, and drop the oldest beyond the job's limit."""
    folder = place_for(Path(plan.checkpoint_folder), position.step, plan.attempt)
    try:
        written = _write(folder, plan, model, optimizer=optimizer, position=position)
    except BaseException:
        # A full disk must not stay full of what is no checkpoint.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    prune(folder.parent, keep=plan.spec.save_total_limit)
    return written


def with_adapter(model: PreTrainedModel, plan: AttemptPlan) -> PeftModel:
    """Return the model with the adapter to train: the checkpoint's, the one that is trained further, or a new one.

    Raises:
        LmError: The adapter does not fit, or the model has none of the target modules.
    """
    if plan.resume_from:
        return load_adapter(model, Path(plan.resume_from) / ADAPTER, is_trainable=True)
    if plan.adapter_folder:
        return load_adapter(model, Path(plan.adapter_folder), is_trainable=True)
    lora = plan.spec.lora
    settings = LoraSettings(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=lora.target_modules or ALL_LINEAR,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
    )
    return add_lora(model, settings, seed=plan.spec.seed)


def read_position(folder: Path) -> Position:
    """Return the position of the checkpoint in `folder`."""
    return Position(**json.loads((folder / _POSITION).read_text(encoding="utf-8")))


def restore_optimizer(folder: Path, model: PeftModel, optimizer: Optimizer) -> None:
    """Give the optimizer the moments it had, bit for bit; the model has its adapter already."""
    tensors = load_file(folder / _OPTIMIZER)
    for name, parameter in trained(model):
        if f"{name}.step" in tensors:
            optimizer.state[parameter] = {kind: tensors[f"{name}.{kind}"].clone() for kind in _MOMENTS}


def trained(model: PeftModel) -> list[tuple[str, torch.nn.Parameter]]:
    """Return the trainable parameters by name, in one fixed order."""
    return sorted((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _moments(model: PeftModel, optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}.{kind}": optimizer.state[parameter][kind].detach().clone().contiguous()
        for name, parameter in trained(model)
        if parameter in optimizer.state
        for kind in _MOMENTS
    }


def _write(
    folder: Path, plan: AttemptPlan, model: PeftModel, *, optimizer: Optimizer, position: Position
) -> Checkpoint:
    folder.mkdir(parents=True)
    save_adapter(model, folder / ADAPTER, base=plan.base_folder)
    save_file(_moments(model, optimizer), folder / _OPTIMIZER)
    (folder / _POSITION).write_text(json.dumps(asdict(position)), encoding="utf-8")
    return write_manifest(folder, step=position.step, attempt=plan.attempt, config_digest=plan.config_digest)
