"""The optimizer of a job, and its learning rate at each step."""

from __future__ import annotations

import math
from typing import Any, Final

from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from services.trainer.domain.spec import LearningRateSchedule, TrainingJobSpec

_RATE_RATIO: Final = "lr_ratio"
# A round has some tens of steps: a second moment that remembers a thousand would still be warming up at its end.
_BETAS: Final = (0.9, 0.95)


def adamw(model: Any, spec: TrainingJobSpec) -> Optimizer:
    """Return AdamW over the trainable parameters; each group holds under `lr_ratio` its share of the learning rate.

    An adapter's B matrices, and its vectors, learn faster (LoRA+). Norms, biases and other vectors do not decay.
    """
    groups: dict[tuple[float, bool], list[Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((_rate_ratio(name, parameter, spec), parameter.ndim > 1), []).append(parameter)
    return AdamW(
        [
            {"params": members, _RATE_RATIO: ratio, "weight_decay": spec.weight_decay if decays else 0.0}
            for (ratio, decays), members in groups.items()
        ],
        lr=spec.learning_rate,
        betas=_BETAS,
    )


def set_rates(optimizer: Optimizer, spec: TrainingJobSpec, step: int, *, num_steps: int) -> float:
    """Give each group its rate at a step counted from 0; return the spec's."""
    rate = learning_rate(
        step,
        num_steps=num_steps,
        peak=spec.learning_rate,
        warmup_ratio=spec.warmup_ratio,
        schedule=spec.lr_scheduler_type,
    )
    for group in optimizer.param_groups:
        group["lr"] = rate * group[_RATE_RATIO]
    return rate


def _rate_ratio(name: str, parameter: Parameter, spec: TrainingJobSpec) -> float:
    learns_faster = "lora_" in name and ("lora_B" in name or parameter.ndim == 1)
    return spec.lora.loraplus_lr_ratio if learns_faster else 1.0


def learning_rate(
    step: int,
    *,
    num_steps: int,
    peak: float,
    warmup_ratio: float,
    schedule: LearningRateSchedule = LearningRateSchedule.COSINE,
) -> float:
    """Return the rate of a step counted from 0: up in a line during the warm-up, then as the schedule says."""
    warmup = math.ceil(num_steps * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, num_steps - warmup)
    if schedule is LearningRateSchedule.CONSTANT:
        return peak
    if schedule is LearningRateSchedule.LINEAR:
        return peak * (1.0 - share)
    return peak * 0.5 * (1.0 + math.cos(math.pi * share))
