"""How much memory and disk a training takes: the formula of docs/training/training.md, in whole bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.trainer.domain.spec import LoraInit, TrainedWeights, TrainingJobSpec, TrainingMethod

# Weight, gradient and AdamW's two moments in float32.
_TRAINED_BYTES = 16
_RESULT_BYTES = 4
# Weight and both moments.
_CHECKPOINT_BYTES = 12
# A copy of the first weights, and while it is in their place one of the present ones.
_REFERENCE_BYTES = 8
_FOUR_BIT_BYTES = 0.56
# Kept for the backward pass of a token in a layer, in numbers: inputs of both norms and of all linear layers, queries,
# what attention gives, and of the feed-forward part the gate, what it lets through, and both again after the product.
_HIDDEN_COPIES, _INNER_COPIES = 8, 4
# Logits, and their gradient, are computed for so many places at once.
LOGIT_TILE = 1024
# Torch, transformers, PEFT and Ray in a process: measured 0.6 GiB on a CPU; with CUDA its context is as much again.
_RUNTIME_BYTES = {"cpu": 640 << 20, "cuda": 1280 << 20}


@dataclass(frozen=True)
class ModelShape:
    """What the formula needs of a model.

    Attributes:
        num_weights: Numbers in all.
        modules: Numbers of each module that holds weights, by its full name.
        linear_layers: Outputs and inputs of each linear layer by its full name; embeddings and the head are none.
        hidden_size: Features of a token.
        intermediate_size: Features inside a feed-forward part.
        num_hidden_layers: Decoder layers.
        vocab_size: Tokens that there are.
        num_adapter_weights: Numbers of the adapter that is trained further; 0 where none is.
    """

    num_weights: int
    modules: Mapping[str, int]
    linear_layers: Mapping[str, tuple[int, int]]
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    vocab_size: int
    num_adapter_weights: int = 0

    @property
    def module_names(self) -> tuple[str, ...]:
        """The last names of the linear layers, such as q_proj, each once."""
        return tuple(dict.fromkeys(name.rpartition(".")[2] for name in self.linear_layers))


@dataclass(frozen=True)
class MemoryEstimate:
    """What one worker takes at its peak, part by part, and what the device has."""

    weights_bytes: int
    optimizer_bytes: int
    reference_bytes: int
    activation_bytes: int
    runtime_bytes: int
    available_bytes: int
    num_weights: int
    num_trained_weights: int
    num_reference_weights: int

    @property
    def total_bytes(self) -> int:
        """The sum of the parts."""
        trained = self.optimizer_bytes + self.reference_bytes
        return self.weights_bytes + trained + self.activation_bytes + self.runtime_bytes


def estimated_memory(
    spec: TrainingJobSpec, shape: ModelShape, *, dtype: str, device: str, num_tokens: int, available_bytes: int
) -> MemoryEstimate:
    """Return what a worker takes.

    Args:
        spec: The job's.
        shape: The model's.
        dtype: What is computed in, "float32" or "bfloat16".
        device: "cpu" or "cuda".
        num_tokens: Most tokens that are computed at once.
        available_bytes: What the device has.
    """
    width = 2 if dtype == "bfloat16" else 4
    trained = num_trained_weights(spec, shape)
    reference = num_reference_weights(spec, trained, is_new=not shape.num_adapter_weights)
    is_lora = spec.trained_weights is TrainedWeights.LORA
    # Weights that are all trained in float32 stand among the trained ones already.
    held = (_FOUR_BIT_BYTES if spec.load_in_4bit else width) if is_lora or width == 2 else 0
    if is_lora and spec.lora.modules_to_save:
        # They are trained in float32, and all weights are loaded alike.
        held = 4
    layers = 1 if spec.gradient_checkpointing else shape.num_hidden_layers
    kept = layers * (_HIDDEN_COPIES * shape.hidden_size + _INNER_COPIES * shape.intermediate_size)
    kept += (shape.num_hidden_layers - layers) * shape.hidden_size
    logits = 2 * 4 * min(num_tokens, LOGIT_TILE) * shape.vocab_size
    return MemoryEstimate(
        weights_bytes=int(shape.num_weights * held),
        optimizer_bytes=trained * _TRAINED_BYTES,
        reference_bytes=reference * _REFERENCE_BYTES,
        activation_bytes=num_tokens * kept * width + logits,
        runtime_bytes=_RUNTIME_BYTES[device],
        available_bytes=available_bytes,
        num_weights=shape.num_weights,
        num_trained_weights=trained,
        num_reference_weights=reference,
    )


def num_trained_weights(spec: TrainingJobSpec, shape: ModelShape) -> int:
    """Return how many numbers the optimizer changes."""
    if spec.trained_weights is not TrainedWeights.LORA:
        return shape.num_weights
    if shape.num_adapter_weights:
        return shape.num_adapter_weights
    ranks = dict(entry.split("=", 1) for entry in spec.lora.rank_pattern)
    total = 0
    for name, (outputs, inputs) in shape.linear_layers.items():
        if is_target(name, spec.lora.target_modules):
            rank = next((int(rank) for suffix, rank in ranks.items() if is_target(name, (suffix,))), spec.lora.r)
            total += rank * (outputs + inputs) + (outputs if spec.lora.use_dora else 0)
    # PEFT takes every module whose name ends so.
    whole = spec.lora.modules_to_save
    return total + sum(size for name, size in shape.modules.items() if whole and name.endswith(whole))


def num_reference_weights(spec: TrainingJobSpec, num_trained: int, *, is_new: bool) -> int:
    """Return how many first weights are kept: GRPO measures its distance from them, and a plain new LoRA needs none.

    DPO keeps the log-probabilities of its pairs, which are few.
    """
    if spec.method is not TrainingMethod.GRPO or not spec.grpo.beta:
        return 0
    starts_off = spec.lora.init_lora_weights in (LoraInit.KAIMING, LoraInit.GAUSSIAN)
    is_plain = starts_off and not spec.lora.use_dora and not spec.lora.modules_to_save
    return 0 if spec.trained_weights is TrainedWeights.LORA and is_new and is_plain else num_trained


def is_target(name: str, targets: tuple[str, ...]) -> bool:
    """Whether a layer gets an adapter: no targets means all, and a target is the end of a layer's name, as in PEFT."""
    return not targets or any(name == target or name.endswith(f".{target}") for target in targets)


def checkpoint_bytes(num_trained: int, num_reference: int = 0) -> int:
    """Return the size of one checkpoint: weights that are trained, both moments, and the reference, in float32."""
    return num_trained * _CHECKPOINT_BYTES + num_reference * _RESULT_BYTES


def result_bytes(num_trained: int) -> int:
    """Return the size of the result: the weights that were trained, in float32."""
    return num_trained * _RESULT_BYTES
