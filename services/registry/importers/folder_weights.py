"""The weights of a model's folder: one set, whole, each tensor in one place; counted by their headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.lm.errors import InvalidModelFile
from services.lm.folders.weights import INDEX, weight_map
from services.registry.importers.safetensors_header import HeaderError, read_sizes

_SAFE: Final = "Ask for a copy in safetensors form without code, or convert it where you trust it."
_WEIGHTS: Final = re.compile(r"(model|adapter_model)([._-][\w.-]+)?\.safetensors")
# Names under which libraries save a model's weights as a pickle; what trainers keep beside has other names.
_PICKLED_WEIGHTS: Final = re.compile(
    r"(pytorch_model|model|weights|consolidated|adapter_model)([._-]\d+(-of-\d+)?)?\.(bin|pt|pth|ckpt|pkl|pickle)"
    r"(\.index\.json)?",
    re.IGNORECASE,
)


def check_not_pickled(names: Sequence[str]) -> None:
    """Pass unless weights in a form that runs code when it is loaded are all there is; else they are left aside.

    Raises:
        InvalidModelFile: They are.
    """
    if any(_WEIGHTS.fullmatch(name) for name in names):
        return
    for name in names:
        if _PICKLED_WEIGHTS.fullmatch(name):
            raise InvalidModelFile("Weights in this form can run code when they are loaded.", _SAFE, name)


def count_all(folder: Path, files: Sequence[Path]) -> int:
    """Return how many weights the folder's `files` hold.

    Raises:
        InvalidModelFile: One is damaged, or a tensor is in two files or not where the index says.
    """
    places: dict[str, str] = {}
    total = 0
    for file in files:
        for name, size in _sizes(file).items():
            if name in places:
                raise InvalidModelFile(
                    f"The tensor {name[:100]!r} is in {places[name]} too.",
                    "Save the model into a new folder.",
                    file.name,
                )
            places[name] = file.name
            total += size
    _check_places(folder, places)
    return total


def _sizes(file: Path) -> dict[str, int]:
    try:
        return read_sizes(file)
    except HeaderError as error:
        raise InvalidModelFile(f"The file {error}.", "Fetch it again.", file.name) from error


def _check_places(folder: Path, places: dict[str, str]) -> None:
    for name, place in weight_map(folder).items():
        if places.get(name) != place:
            raise InvalidModelFile(
                f"It places the tensor {name[:100]!r} in {place[:100]}, which does not hold it.",
                "Fetch all files again, or save the model into a new folder.",
                INDEX,
            )
