"""An adapter that is trained further, as its files tell: its settings are its own for good."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from services.chassis.wire import to_document
from services.lm.folders.json_files import read_json
from services.trainer.domain.spec import TrainedWeights, TrainingJobSpec
from services.trainer.training.preflight.model_shape import tensor_sizes

# It decides how fast an adapter learns, not what it is.
_FREE: Final = ("loraplus_lr_ratio",)


def other_settings(spec: TrainingJobSpec, folder: Path) -> tuple[str, str] | None:
    """Return the first setting of a spec that the adapter in a folder lacks, and what to do, in a sentence each.

    None where it has them all.
    """
    if spec.trained_weights is not TrainedWeights.LORA:
        return None
    config = read_json(folder / "adapter_config.json")
    if config.get("target_parameters"):
        # The layers of joined experts have other names there than in a spec.
        return None
    for name, value in to_document(spec).get("lora", {}).items():
        own, wanted = _comparable(config.get(name)), _comparable(value)
        if name not in _FREE and own != wanted:
            return (
                f"An adapter that is trained further keeps its settings: its {name} is {own}, and lora.{name} asks for "
                f"{wanted}.",
                f"Leave lora.{name} out, or start from the base model.",
            )
    return None


def num_weights(folder: Path) -> int:
    """Return how many numbers the adapter in a folder has.

    Raises:
        InvalidModelFile: Its header cannot be read.
    """
    return sum(math.prod(size) for size in tensor_sizes(folder / "adapter_model.safetensors").values())


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted(f"{name}={number}" for name, number in value.items())
    return sorted(map(str, value)) if isinstance(value, list | tuple) else value
