"""What a training job shall do; defaults and bounds of its fields stand in the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from services.chassis.errors import InvalidArgument
from services.chassis.wire import to_document
from services.trainer.domain.weights import LoraConfig, LoraInit, ScratchConfig, TrainedWeights

__all__ = [
    "KIND",
    "CheckpointRef",
    "DpoConfig",
    "GrpoConfig",
    "LearningRateSchedule",
    "LoraConfig",
    "LoraInit",
    "NumberType",
    "PreferenceLoss",
    "ScratchConfig",
    "TrainedWeights",
    "TrainingJobSpec",
    "TrainingMethod",
    "reward_weights_of",
]

KIND = "training_job"
_REWARD_WEIGHT = re.compile(r"([a-z][a-z0-9_]{0,63})=([0-9]{1,6}(?:\.[0-9]{1,9})?)")


class TrainingMethod(StrEnum):
    """Which loss is minimised."""

    SFT = "sft"
    DPO = "dpo"
    GRPO = "grpo"


class LearningRateSchedule(StrEnum):
    """How the rate falls after the warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class NumberType(StrEnum):
    """What a model is computed in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class PreferenceLoss(StrEnum):
    """How much the length of a pair's answers counts."""

    SIGMOID = "sigmoid"
    SIGMOID_NORM = "sigmoid_norm"


@dataclass(frozen=True)
class DpoConfig:
    """Settings of preference optimisation, by TRL's names."""

    beta: float
    label_smoothing: float
    loss_type: PreferenceLoss


@dataclass(frozen=True)
class GrpoConfig:
    """Settings of policy optimisation, by TRL's names; no temperature means 1."""

    num_generations: int
    temperature: float | None
    max_new_tokens: int
    beta: float
    epsilon: float
    epsilon_high: float
    max_importance_ratio: float
    scale_rewards: bool
    train_truncated: bool
    num_iterations: int
    reward_weights: tuple[str, ...]
    blame_violations: bool


def reward_weights_of(entries: Sequence[str]) -> dict[str, float]:
    """Return the weight by component of entries such as "conforming=1.5".

    Raises:
        InvalidArgument: One is not of this form, or a component is named twice.
    """
    matches = [_REWARD_WEIGHT.fullmatch(entry) for entry in entries]
    weights = {match[1]: float(match[2]) for match in matches if match}
    if len(weights) < len(entries) or (entries and not any(weights.values())):
        raise InvalidArgument(
            "The field grpo.reward_weights has an entry that is no weight, a component twice, or no weight above 0.",
            "Write entries such as conforming=1, one for each component; the others count nothing.",
            field="spec.grpo.reward_weights",
        )
    return weights


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint of a job; step 0 is its newest, and no job is no checkpoint."""

    training_job_id: str
    step: int


@dataclass(frozen=True)
class TrainingJobSpec:
    """What is trained and how. It never changes after the job was created."""

    MESSAGE: ClassVar = "drillyard.trainer.v1.training_spec_pb2.TrainingJobSpec"

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
    max_steps: int
    weight_decay: float
    lr_scheduler_type: LearningRateSchedule
    max_grad_norm: float
    dtype: NumberType
    gradient_checkpointing: bool
    load_in_4bit: bool
    early_stopping_patience: int
    load_best_model_at_end: bool
    dpo: DpoConfig
    grpo: GrpoConfig
    scratch: ScratchConfig
    fork: CheckpointRef
    allow_suite_overlap: bool
    validation_dataset_version_id: str

    def check(self) -> None:
        """Return when the fields fit each other; what the model and the dataset allow shows at the start of an attempt.

        Raises:
            InvalidArgument: They do not; the error names the field.
        """
        self.lora.check()
        self.scratch.check()
        _check_groups(self)
        reward_weights_of(self.grpo.reward_weights)
        if self.num_workers > self.batch_size:
            raise InvalidArgument(
                f"The {self.num_workers} workers share a batch of {self.batch_size}.",
                "Use at most as many workers as examples in a batch.",
                field="spec.num_workers",
            )
        if self.eval_steps == 0 and (self.load_best_model_at_end or self.early_stopping_patience):
            raise InvalidArgument(
                "Nothing is measured on the way, so no checkpoint can be the best and nothing tells when to stop.",
                "Set eval_steps, or leave load_best_model_at_end and early_stopping_patience out.",
                field="spec.eval_steps",
            )
        if self.load_in_4bit:
            _check_4bit(self)


# What the settings of a group are for; with anything else they would count for nothing.
_GROUPS: Mapping[str, tuple[str, StrEnum]] = {
    "lora": ("trained_weights", TrainedWeights.LORA),
    "scratch": ("trained_weights", TrainedWeights.FROM_SCRATCH),
    "dpo": ("method", TrainingMethod.DPO),
    "grpo": ("method", TrainingMethod.GRPO),
}


def _check_groups(spec: TrainingJobSpec) -> None:
    document = to_document(spec)
    for group, (field, value) in _GROUPS.items():
        chosen = getattr(spec, field)
        for name in document.get(group, {}) if chosen is not value else ():
            raise InvalidArgument(
                f"The field {group}.{name} counts where {field} is {value} alone, and here it is {chosen}.",
                f"Leave {group}.{name} out, or set {field} to {value}.",
                field=f"spec.{group}.{name}",
            )


def _check_4bit(spec: TrainingJobSpec) -> None:
    if spec.trained_weights is not TrainedWeights.LORA:
        raise InvalidArgument(
            "Weights in 4 bits cannot be trained, only an adapter beside them.",
            "Set trained_weights to TRAINED_WEIGHTS_LORA, or leave load_in_4bit out.",
            field="spec.load_in_4bit",
        )
    if spec.lora.init_lora_weights in (LoraInit.PISSA, LoraInit.OLORA) or spec.lora.modules_to_save:
        raise InvalidArgument(
            "Of weights in 4 bits nothing can be taken out (pissa, olora) or trained whole (modules_to_save).",
            "Use another init_lora_weights and no modules_to_save, or leave load_in_4bit out.",
            field="spec.load_in_4bit",
        )
