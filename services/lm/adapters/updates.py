"""What an adapter changes of each weight, told without the base's weights, so that a merge can go row by row."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peft.tuners.lora import Embedding, Linear, LoraLayer
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor
from transformers import PreTrainedModel

from services.lm.adapters.lora import attach, is_decomposed
from services.lm.adapters.settings import read_settings
from services.lm.adapters.tensors import PEFT_PREFIX

Floats = NDArray[np.float32]

_NAME = "default"


class NotRowByRow(Exception):
    """The adapter can only be merged into a model that is whole in memory."""


@dataclass(frozen=True)
class Update:
    """Rows of a weight plus the product of two thin matrices, as LoRA has it.

    Attributes:
        left: (rows, r), scaled.
        right: (r, columns).
        magnitude: (rows,); the length that each row gets afterwards (DoRA); None leaves the lengths.
    """

    left: Floats
    right: Floats
    magnitude: Floats | None = None

    def apply(self, rows: Floats, start: int) -> Floats:
        """The rows from number `start` on, changed in place."""
        rows += self.left[start : start + len(rows)] @ self.right
        if self.magnitude is not None:
            lengths = np.linalg.norm(rows, axis=1)
            rows *= (self.magnitude[start : start + len(rows)] / lengths)[:, None]
        return rows


@dataclass(frozen=True)
class Replacement:
    """A weight that was trained whole and takes the place of the base's."""

    content: Floats

    def apply(self, rows: Floats, start: int) -> Floats:
        """Its own rows from number `start` on."""
        return self.content[start : start + len(rows)].copy() if self.content.ndim else self.content[None].copy()


def read_updates(
    model: PreTrainedModel, folder: Path, weight_of: Callable[[str], Tensor | None]
) -> dict[str, Update | Replacement]:
    """What the adapter in `folder` changes, by the weight's name in the model; `model` may be on the meta device.

    `weight_of` gives a weight of the base, for adapters that bring a copy of one.

    Raises:
        InvalidModelFile: The folder is damaged or not a LoRA adapter of the supported form.
        AdapterMismatch: The adapter was made for another model.
        NotRowByRow: It changes something else than rows of one weight each.
    """
    config = read_settings(folder)
    if is_decomposed(config):
        raise NotRowByRow
    wrapped, tensors = attach(model, config, folder, weight_of=weight_of)
    return dict(_updates(wrapped.get_base_model(), {name: _floats(tensor) for name, tensor in tensors.items()}))


def _updates(model: Any, tensors: Mapping[str, Floats]) -> Iterator[tuple[str, Update | Replacement]]:
    for name, module in model.named_modules():
        if isinstance(module, ModulesToSaveWrapper):
            for key in module.modules_to_save[_NAME].state_dict():
                yield f"{name}.{key}", Replacement(tensors[f"{PEFT_PREFIX}{name}.{key}"])
        elif isinstance(module, LoraLayer):
            yield f"{name}.weight", _update(module, tensors, f"{PEFT_PREFIX}{name}")


def _update(module: Any, tensors: Mapping[str, Floats], place: str) -> Update:
    if type(module) is Linear:
        left, right = tensors[f"{place}.lora_B.weight"], tensors[f"{place}.lora_A.weight"]
        is_transposed = module.fan_in_fan_out
    elif type(module) is Embedding:
        left, right = tensors[f"{place}.lora_embedding_B"], tensors[f"{place}.lora_embedding_A"]
        is_transposed = True
    else:
        raise NotRowByRow
    magnitude = tensors.get(f"{place}.lora_magnitude_vector")
    if is_transposed and magnitude is not None:
        raise NotRowByRow
    left, right = (right.T, left.T) if is_transposed else (left, right)
    return Update(left * np.float32(module.scaling[_NAME]), np.ascontiguousarray(right), magnitude)


def _floats(tensor: Tensor) -> Floats:
    content: Floats = tensor.detach().float().numpy()
    return content
