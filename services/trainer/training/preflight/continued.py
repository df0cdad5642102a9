"""An adapter that is trained further, as its files tell: its settings are its own for good, but for more rank."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from services.chassis.wire import to_document
from services.lm.folders.json_files import read_json
from services.trainer.domain.spec import TrainedWeights, TrainingJobSpec
from services.trainer.training.preflight.model_shape import tensor_sizes

SETTINGS: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
# It decides how fast an adapter learns, not what it is.
_FREE: Final = ("loraplus_lr_ratio",)
_UNEVEN: Final = ("rank_pattern", "alpha_pattern", "use_rslora", "target_parameters")
_OF_THE_BASE: Final = ("pissa", "olora")


def other_settings(spec: TrainingJobSpec, folder: Path) -> tuple[str, str] | None:
    """Return the first setting of a spec that the adapter in a folder lacks, and what to do, in a sentence each.

    None where it has them all.
    """
    if spec.trained_weights is not TrainedWeights.LORA:
        return None
    config = read_json(folder / SETTINGS)
    if config.get("target_parameters"):
        # The layers of joined experts have other names there than in a spec.
        return None
    free = (*_FREE, "r", "lora_alpha") if raised_rank(spec, folder) else _FREE
    for name, value in to_document(spec).get("lora", {}).items():
        own, wanted = _comparable(config.get(name)), _comparable(value)
        if name not in free and own != wanted:
            return (
                f"An adapter that is trained further keeps its settings: its {name} is {own}, and lora.{name} asks for "
                f"{wanted}.",
                f"Leave lora.{name} out, raise r and lora_alpha by the same factor, or start from the base model.",
            )
    return None


def raised_rank(spec: TrainingJobSpec, folder: Path) -> int:
    """Return the rank that a spec raises the adapter in a folder to; 0 where it keeps its own.

    A multiple of its rank, with the same multiple of its alpha, computes what the adapter does until it is trained. Not
    so where ranks differ by layer, where the scale follows the root of the rank, or where a start took parts of the
    base.
    """
    config, lora = read_json(folder / SETTINGS), spec.lora
    own, alpha = config.get("r", 0), config.get("lora_alpha", 0)
    is_plain = config.get("init_lora_weights") not in _OF_THE_BASE and not any(config.get(name) for name in _UNEVEN)
    is_multiple = 0 < own < lora.r and not lora.r % own and lora.lora_alpha * own == alpha * lora.r
    is_wanted = spec.trained_weights is TrainedWeights.LORA and "r" in to_document(spec).get("lora", {})
    return lora.r if is_wanted and is_plain and is_multiple else 0


def num_weights(folder: Path) -> int:
    """Return how many numbers the adapter in a folder has.

    Raises:
        InvalidModelFile: Its header cannot be read.
    """
    return sum(math.prod(size) for size in tensor_sizes(folder / WEIGHTS).values())


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted(f"{name}={number}" for name, number in value.items())
    return sorted(map(str, value)) if isinstance(value, list | tuple) else value
