"""What a training job shall do, with one table of defaults and bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from services.chassis.errors import InvalidArgument, Unimplemented

KIND = "training_job"
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
_MAX_ID_LENGTH = 200
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
class Bound:
    """The value that a zero stands for, and the least and the most that are allowed."""

    default: float
    least: float
    most: float


BOUNDS: Mapping[str, Bound] = {
    "lora.r": Bound(16, 1, 1024),
    "lora.lora_alpha": Bound(32, 1, 1 << 16),
    "lora.lora_dropout": Bound(0.0, 0.0, 0.9),
    "lora.loraplus_lr_ratio": Bound(4.0, 1.0, 64.0),
    "num_epochs": Bound(1, 1, 1000),
    "batch_size": Bound(8, 1, 4096),
    "learning_rate": Bound(1e-3, 1e-12, 1.0),
    "warmup_ratio": Bound(0.05, 0.0, 1.0),
    "save_steps": Bound(10, 1, 1 << 20),
    "save_total_limit": Bound(2, 1, 100),
    "eval_steps": Bound(0, 0, 1 << 20),
    "seed": Bound(0, 0, (1 << 63) - 1),
    "num_workers": Bound(1, 1, 64),
    "max_tokens_per_pack": Bound(6144, 128, 1 << 20),
}


@dataclass(frozen=True)
class LoraConfig:
    """Settings of an adapter, by PEFT's names; no target modules means all linear layers.

    Attributes:
        loraplus_lr_ratio: How many times faster than A the matrices B learn (LoRA+, arXiv 2402.12354).
    """

    r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ()
    use_rslora: bool = False
    use_dora: bool = False
    loraplus_lr_ratio: float = 4.0


@dataclass(frozen=True)
class TrainingJobSpec:
    """What is trained and how. It never changes after the job was created."""

    model_version_id: str
    dataset_version_id: str
    output_model_id: str = ""
    method: TrainingMethod = TrainingMethod.SFT
    trained_weights: TrainedWeights = TrainedWeights.LORA
    lora: LoraConfig = field(default_factory=LoraConfig)
    num_epochs: int = 1
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup_ratio: float = 0.05
    save_steps: int = 10
    save_total_limit: int = 2
    eval_steps: int = 0
    seed: int = 0
    num_workers: int = 1
    max_tokens_per_pack: int = 6144

    def with_defaults(self) -> TrainingJobSpec:
        """Return the spec with each zero replaced by what it stands for."""
        own: dict[str, Any] = {name: _default(name, getattr(self, name)) for name in _names("")}
        lora: dict[str, Any] = {name: _default(f"lora.{name}", getattr(self.lora, name)) for name in _names("lora.")}
        return replace(self, **own, lora=replace(self.lora, **lora))

    def check(self) -> None:
        """Return when this release can do it and every value is within its bounds.

        Raises:
            InvalidArgument: A value is not; the error names the field.
            Unimplemented: The method, or the choice of weights, is not built.
        """
        for name in ("model_version_id", "dataset_version_id"):
            _check_id(name, getattr(self, name), required=True)
        _check_id("output_model_id", self.output_model_id, required=False)
        self._check_built()
        for name, bound in BOUNDS.items():
            owner = self.lora if name.startswith("lora.") else self
            _check_number(name, getattr(owner, name.rpartition(".")[2]), bound)
        _check_modules(self.lora.target_modules)
        if self.num_workers > self.batch_size:
            raise InvalidArgument(
                f"The {self.num_workers} workers share a batch of {self.batch_size}.",
                "Use at most as many workers as examples in a batch.",
                field="spec.num_workers",
            )

    def to_document(self) -> dict[str, Any]:
        """Return the spec as plain JSON."""
        return asdict(self) | {
            "method": str(self.method),
            "trained_weights": str(self.trained_weights),
            "lora": asdict(self.lora) | {"target_modules": list(self.lora.target_modules)},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TrainingJobSpec:
        """Return what `to_document` was called on; keys that are not known are left out."""
        known = {item.name for item in fields(cls)}
        lora = document["lora"]
        return cls(
            **{name: value for name, value in document.items() if name in known}
            | {
                "method": TrainingMethod(document["method"]),
                "trained_weights": TrainedWeights(document["trained_weights"]),
                "lora": LoraConfig(**lora | {"target_modules": tuple(lora["target_modules"])}),
            }
        )

    def _check_built(self) -> None:
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


def checked_page_size(page_size: int) -> int:
    """Return the page size to use, 50 when it is 0.

    Raises:
        InvalidArgument: It is not 0 to 1000.
    """
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidArgument(
            f"The page size {page_size} is not between 0 and {MAX_PAGE_SIZE}.",
            "Use 0 for the default.",
            field="page_size",
        )
    return page_size or DEFAULT_PAGE_SIZE


def _names(prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in BOUNDS if name.rpartition(".")[0] == prefix.rstrip(".")]


def _default(name: str, value: float) -> float:
    return BOUNDS[name].default if value == 0 else value


def _check_id(name: str, value: str, *, required: bool) -> None:
    if (required and not value) or len(value) > _MAX_ID_LENGTH or not value.isprintable():
        raise InvalidArgument(
            f"The field {name} is empty, too long or not printable.",
            f"Give an id of at most {_MAX_ID_LENGTH} characters.",
            field=f"spec.{name}",
        )


def _check_number(name: str, value: float, bound: Bound) -> None:
    if not math.isfinite(value) or not bound.least <= value <= bound.most:
        raise InvalidArgument(
            f"The field {name} is {value}, which is not between {bound.least:g} and {bound.most:g}.",
            f"Give a value within these bounds, or 0 for the default of {bound.default:g}.",
            field=f"spec.{name}",
        )


def _check_modules(modules: tuple[str, ...]) -> None:
    if len(modules) > _MAX_MODULES or not all(_MODULE.fullmatch(name) for name in modules):
        raise InvalidArgument(
            "The field lora.target_modules holds a name that no layer can have, or too many.",
            "Name linear layers such as q_proj, or none for all of them.",
            field="spec.lora.target_modules",
        )
