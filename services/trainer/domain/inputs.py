"""What a training job reads, resolved once: versions, digests and places; and the job that it is a fork of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from services.chassis.errors import InvalidArgument
from services.chassis.wire import to_document
from services.trainer.domain.spec import TrainedWeights, TrainingJobSpec


@dataclass(frozen=True)
class Artifact:
    """Immutable bytes of another service."""

    uri: str
    digest: str
    size_bytes: int = 0


@dataclass(frozen=True)
class TrainingInputs:
    """The versions a job uses for good.

    Attributes:
        model_version_id: The version it starts from.
        base_model_version_id: The weights that the result is loaded on; of an adapter version its base.
        output_model_id: The model that gets the result.
        base: Folder of those weights.
        adapter: Folder of the adapter that is trained further, or None for a new one.
        dataset_version_id: The examples.
        dataset: Their file.
        fork_step: The step of the other job's checkpoint that it begins with, if it is a fork.
        fork: A checkpoint of its own with what that one holds; None where it is no fork, or not made yet.
        validation_dataset_version_id: What is measured beside the validation split; empty for nothing.
        validation: Its file.
    """

    model_version_id: str
    base_model_version_id: str
    output_model_id: str
    base: Artifact
    adapter: Artifact | None
    dataset_version_id: str
    dataset: Artifact
    fork_step: int = 0
    fork: Artifact | None = None
    validation_dataset_version_id: str = ""
    validation: Artifact | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the inputs as plain JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TrainingInputs:
        """Return what `to_document` was called on."""
        adapter, fork, validation = document["adapter"], document.get("fork"), document.get("validation")
        return cls(
            **{
                **document,
                "base": Artifact(**document["base"]),
                "adapter": Artifact(**adapter) if adapter else None,
                "dataset": Artifact(**document["dataset"]),
                "fork": Artifact(**fork) if fork else None,
                "validation": Artifact(**validation) if validation else None,
            }
        )

    def resolved(self, spec: TrainingJobSpec) -> TrainingJobSpec:
        """Return the spec with the ids of the versions that are used."""
        return replace(
            spec,
            model_version_id=self.model_version_id,
            dataset_version_id=self.dataset_version_id,
            output_model_id=self.output_model_id,
            validation_dataset_version_id=self.validation_dataset_version_id,
            fork=replace(spec.fork, step=self.fork_step),
        )

    def config_digest(self, spec: TrainingJobSpec) -> str:
        """Return the digest of all that decides what is trained; a checkpoint fits only jobs with its own digest.

        A field of the spec that has its default does not count, so a release that adds fields leaves digests alone.
        """
        decisive = {
            "spec": to_document(self.resolved(spec)),
            "digests": [self.base.digest, self.adapter.digest if self.adapter else "", self.dataset.digest],
        }
        if self.validation:
            decisive["validation"] = self.validation.digest
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


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
