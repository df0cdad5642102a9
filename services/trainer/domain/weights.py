"""Which weights a training job changes, and how they begin; defaults and bounds of the fields stand in the contract."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.chassis.errors import InvalidArgument

_MAX_MODULES = 64
_MAX_RANK = 1024
_MODULE = re.compile(r"[A-Za-z0-9_.]{1,100}")
_NUMBER = re.compile(r"([A-Za-z0-9_.]{1,100})=([1-9][0-9]{0,5})")


class TrainedWeights(StrEnum):
    """Which weights change."""

    LORA = "lora"
    FULL = "full"
    FROM_SCRATCH = "from_scratch"


class LoraInit(StrEnum):
    """How a new adapter begins."""

    KAIMING = "kaiming"
    GAUSSIAN = "gaussian"
    ORTHOGONAL = "orthogonal"
    PISSA = "pissa"
    OLORA = "olora"


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

    def check(self) -> None:
        """Return when the fields fit each other.

        Raises:
            InvalidArgument: They do not; the error names the field.
        """
        for name in ("target_modules", "modules_to_save"):
            modules = getattr(self, name)
            if len(modules) > _MAX_MODULES or not all(_MODULE.fullmatch(module) for module in modules):
                raise InvalidArgument(
                    f"The field lora.{name} holds a name that no layer can have, or too many.",
                    "Name layers such as q_proj, or none.",
                    field=f"spec.lora.{name}",
                )
        if shared := set(self.target_modules) & set(self.modules_to_save):
            raise InvalidArgument(
                f"The module {min(shared)} is to get an adapter and to be trained whole.",
                "Name it in one of target_modules and modules_to_save.",
                field="spec.lora.modules_to_save",
            )
        ranks = named_numbers(self.rank_pattern, "lora.rank_pattern")
        named_numbers(self.alpha_pattern, "lora.alpha_pattern")
        if max(ranks.values(), default=0) > _MAX_RANK:
            raise InvalidArgument(
                f"The field lora.rank_pattern names a rank above {_MAX_RANK}.",
                "Choose a lower one.",
                field="spec.lora.rank_pattern",
            )
        if self.init_lora_weights is LoraInit.ORTHOGONAL and any(rank % 2 for rank in (self.r, *ranks.values())):
            raise InvalidArgument(
                "The orthogonal start needs an even rank.", "Choose an even r.", field="spec.lora.init_lora_weights"
            )


@dataclass(frozen=True)
class ScratchConfig:
    """The shape of a model from scratch; 0 means that of the model it takes after."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int

    def check(self) -> None:
        """Return when the sizes fit each other.

        Raises:
            InvalidArgument: They do not; the error names the field.
        """
        for whole, part in (("hidden_size", "num_attention_heads"), ("num_attention_heads", "num_key_value_heads")):
            total, share = getattr(self, whole), getattr(self, part)
            if total and share and total % share:
                raise InvalidArgument(
                    f"The {whole} of {total} cannot be divided by the {part} of {share}.",
                    "Change one of them.",
                    field=f"spec.scratch.{part}",
                )


def named_numbers(entries: Sequence[str], name: str) -> dict[str, int]:
    """Return the numbers by module of entries such as "down_proj=32".

    Raises:
        InvalidArgument: One is not of this form, or two are of one module; the error names the field `name`.
    """
    matches = [_NUMBER.fullmatch(entry) for entry in entries]
    numbers = {match[1]: int(match[2]) for match in matches if match}
    if len(numbers) < len(entries) or len(entries) > _MAX_MODULES:
        raise InvalidArgument(
            f"The field {name} holds an entry that is no module with a number above 0, or a module twice, or too many.",
            "Write entries such as down_proj=32.",
            field=f"spec.{name}",
        )
    return numbers
