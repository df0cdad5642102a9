"""What a training job reads, resolved once: versions, digests and places."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from services.chassis.wire import to_document
from services.trainer.domain.spec import TrainingJobSpec


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
