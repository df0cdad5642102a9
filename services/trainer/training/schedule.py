"""The learning rate of each step."""

from __future__ import annotations

import math


def learning_rate(step: int, *, num_steps: int, peak: float, warmup_ratio: float) -> float:
    """Return the rate of a step counted from 0: up in a line during the warm-up, then down half a cosine to 0."""
    warmup = math.ceil(num_steps * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))
