"""The optimizer of an adapter, and its learning rate at each step."""

from __future__ import annotations

import math
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


def learning_rate(step: int, *, num_steps: int, peak: float, warmup_ratio: float) -> float:
    """Return the rate of a step counted from 0: up in a line during the warm-up, then down half a cosine to 0."""
    warmup = math.ceil(num_steps * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))
