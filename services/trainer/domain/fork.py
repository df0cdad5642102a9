"""What a fork must share with the job whose checkpoint it begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from services.chassis.errors import InvalidArgument
from services.trainer.domain.inputs import TrainingInputs
from services.trainer.domain.spec import TrainedWeights, TrainingJobSpec

# These decide how an adapter begins and learns, not what it is.
_FREE = ("init_lora_weights", "loraplus_lr_ratio")


def check_fork(
    spec: TrainingJobSpec, inputs: TrainingInputs, forked_spec: TrainingJobSpec, forked_inputs: TrainingInputs
) -> None:
    """Return when the weights and the optimizer of a job can be those that another begins with.

    Raises:
        InvalidArgument: They train other weights; the error names the field.
    """
    for name, own, forked in _differences(spec, inputs, forked_spec, forked_inputs):
        raise InvalidArgument(
            f"A fork trains the same weights as the job it begins with: its {name} is {own}, that job's {forked}.",
            f"Set {name} to {forked}, or start a job without a fork.",
            field=f"spec.{name}",
        )


def _differences(
    spec: TrainingJobSpec, inputs: TrainingInputs, forked_spec: TrainingJobSpec, forked_inputs: TrainingInputs
) -> Iterator[tuple[str, object, object]]:
    if _digests(inputs) != _digests(forked_inputs):
        yield "model_version_id", inputs.model_version_id, forked_inputs.model_version_id
    if spec.trained_weights is not forked_spec.trained_weights:
        yield "trained_weights", spec.trained_weights, forked_spec.trained_weights
    if spec.trained_weights is TrainedWeights.FROM_SCRATCH:
        yield from _unequal("scratch", spec.scratch, forked_spec.scratch)
    # An adapter that is trained further keeps its own settings.
    if spec.trained_weights is TrainedWeights.LORA and not inputs.adapter:
        yield from _unequal("lora", spec.lora, forked_spec.lora)


def _unequal(name: str, own: Any, forked: Any) -> Iterator[tuple[str, object, object]]:
    for field in fields(own):
        values = getattr(own, field.name), getattr(forked, field.name)
        if field.name not in _FREE and values[0] != values[1]:
            yield f"{name}.{field.name}", _shown(values[0]), _shown(values[1])


def _shown(value: object) -> object:
    return (", ".join(map(str, value)) or "empty") if isinstance(value, tuple) else value


def _digests(inputs: TrainingInputs) -> tuple[str, str]:
    return inputs.base.digest, inputs.adapter.digest if inputs.adapter else ""
