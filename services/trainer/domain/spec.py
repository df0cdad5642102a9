"""What a training job shall do; defaults and bounds of its fields stand in the contract."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from services.chassis.errors import InvalidArgument, Unimplemented

KIND = "training_job"
_MAX_MODULES = 64
_MODULE = re.compile(r"[A-Za-z0-9_.]{1,100}")


class TrainingMethod(StrEnum):
    """Which loss is minimised."""

    SFT = "sft"
    DPO = "dpo"
    GRPO = "grpo"


class TrainedWeights(StrEnum):
    """Which weights change."""

    LORA = "lora"
    FULL = "full"
    FROM_SCRATCH = "from_scratch"


@dataclass(frozen=True)
class LoraConfig:
    """Settings of an adapter, by PEFT's names; no target modules means all linear layers.

    Attributes:
        loraplus_lr_ratio: How many times faster than A the matrices B learn (LoRA+, arXiv 2402.12354).
    """

    r: int
    lora_alpha: int
    lora_dropout: float
    target_modules: tuple[str, ...]
    use_rslora: bool
    use_dora: bool
    loraplus_lr_ratio: float


@dataclass(frozen=True)
class TrainingJobSpec:
    """What is trained and how. It never changes after the job was created."""

    MESSAGE: ClassVar = "drillyard.trainer.v1.training_job_pb2.TrainingJobSpec"

    model_version_id: str
    dataset_version_id: str
    output_model_id: str
    method: TrainingMethod
    trained_weights: TrainedWeights
    lora: LoraConfig
    num_epochs: int
    batch_size: int
    learning_rate: float
    warmup_ratio: float
    save_steps: int
    save_total_limit: int
    eval_steps: int
    seed: int
    num_workers: int
    max_tokens_per_pack: int

    def check(self) -> None:
        """Return when this release can do it and the fields fit each other.

        Raises:
            InvalidArgument: They do not; the error names the field.
            Unimplemented: The method, or the choice of weights, is not built.
        """
        if self.method is not TrainingMethod.SFT:
            raise Unimplemented(
                f"Training by {self.method.upper()} is not built in this version.",
                "Use SFT on reference answers.",
                field="spec.method",
            )
        if self.trained_weights is not TrainedWeights.LORA:
            raise Unimplemented(
                "Training all weights is not built in this version.",
                "Train a LoRA adapter.",
                field="spec.trained_weights",
            )
        modules = self.lora.target_modules
        if len(modules) > _MAX_MODULES or not all(_MODULE.fullmatch(name) for name in modules):
            raise InvalidArgument(
                "The field lora.target_modules holds a name that no layer can have, or too many.",
                "Name linear layers such as q_proj, or none for all of them.",
                field="spec.lora.target_modules",
            )
        if self.num_workers > self.batch_size:
            raise InvalidArgument(
                f"The {self.num_workers} workers share a batch of {self.batch_size}.",
                "Use at most as many workers as examples in a batch.",
                field="spec.num_workers",
            )
