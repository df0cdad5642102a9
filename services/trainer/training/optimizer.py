"""The optimizer of an adapter."""

from __future__ import annotations

from typing import Final

from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer
from torch.optim import AdamW, Optimizer

from services.trainer.domain.spec import TrainingJobSpec

RATE_RATIO: Final = "lr_ratio"
# A round has some tens of steps: a second moment that remembers a thousand would still be warming up at its end.
_BETAS: Final = (0.9, 0.95)


def adamw(model: PeftModel, spec: TrainingJobSpec) -> Optimizer:
    """Return AdamW with LoRA+ rates; each group holds under `RATE_RATIO` its share of the spec's learning rate."""
    optimizer: Optimizer = create_loraplus_optimizer(
        model,
        AdamW,
        lr=spec.learning_rate,
        loraplus_lr_ratio=spec.lora.loraplus_lr_ratio,
        loraplus_lr_embedding=spec.learning_rate,
        betas=_BETAS,
    )
    for group in optimizer.param_groups:
        group[RATE_RATIO] = group["lr"] / spec.learning_rate
    return optimizer
