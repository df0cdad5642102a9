"""What a training job shall do; defaults and bounds of its fields stand in the contract."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from services.chassis.errors import InvalidArgument, Unimplemented

KIND = "training_job"
_MAX_MODULES = 64
_MODULE = re.compile(r"[A-Za-z0-9_.]{1,100}")
_REWARD_WEIGHT = re.compile(r"([a-z][a-z0-9_]{0,63})=([0-9]{1,6}(?:\.[0-9]{1,9})?)")


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


class LoraInit(StrEnum):
    """How a new adapter begins."""

    KAIMING = "kaiming"
    GAUSSIAN = "gaussian"
    ORTHOGONAL = "orthogonal"
    PISSA = "pissa"
    OLORA = "olora"


class PreferenceLoss(StrEnum):
    """How much the length of a pair's answers counts."""

    SIGMOID = "sigmoid"
    SIGMOID_NORM = "sigmoid_norm"


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
    init_lora_weights: LoraInit
    modules_to_save: tuple[str, ...]
    rank_pattern: tuple[str, ...]
    alpha_pattern: tuple[str, ...]


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
class ScratchConfig:
    """The shape of a model from scratch; 0 means that of the model it takes after."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int


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

    def check(self) -> None:
        """Return when this release can do it and the fields fit each other.

        Raises:
            InvalidArgument: They do not; the error names the field.
            Unimplemented: The method, or the choice of weights, is not built.
        """
        if self.method is TrainingMethod.DPO:
            raise Unimplemented(
                f"Training by {self.method.upper()} is not built in this version.",
                "Use SFT on reference answers, or GRPO on the cases of a suite's kinds.",
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
        reward_weights_of(self.grpo.reward_weights)
        if self.num_workers > self.batch_size:
            raise InvalidArgument(
                f"The {self.num_workers} workers share a batch of {self.batch_size}.",
                "Use at most as many workers as examples in a batch.",
                field="spec.num_workers",
            )
