"""Whether the engine draws with the weights and the numbers of the trainer."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from services.lm.errors import LmError

# The mean over the probed tokens of how far both lie apart, in nats: rounding, and far less than another adapter.
MAX_DRIFT: Final = {"float32": 1e-3, "bfloat16": 0.1}


class EngineDrift(LmError):
    """The engine that draws answers and the trainer do not compute the same model."""


def drift_of(drawn: Tensor, trained: Tensor) -> tuple[float, int]:
    """Return the summed distance of the log-probabilities by engine and trainer, in nats, and the number of tokens."""
    return float((drawn - trained).abs().sum()), len(drawn)


def check_drift(distance: float, count: float, *, dtype: str, step: int) -> None:
    """Return when engine and trainer agree, `MAX_DRIFT` nats a token at most.

    Raises:
        EngineDrift: They do not, so that training would teach from answers of another model.
    """
    mean = distance / max(1, count)
    if not mean <= MAX_DRIFT[dtype]:
        raise EngineDrift(
            f"At step {step + 1} the log-probabilities of the answers that were drawn and of the model in training lie "
            f"{mean:.3g} nats a token apart; {MAX_DRIFT[dtype]:g} is rounding.",
            "Report the model's architecture and the adapter's settings; with float32 and plain LoRA both agree.",
        )


def check_digest(drawn: str, trained: str, *, step: int) -> None:
    """Return when the rollouts were drawn with the weights that are trained.

    Raises:
        EngineDrift: They were not.
    """
    if drawn != trained:
        raise EngineDrift(
            f"At step {step + 1} the answers were drawn with other weights than those that are trained.",
            "Report this: the engine did not take the weights of the step.",
        )
