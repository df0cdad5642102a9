"""A LoRA adapter in PEFT's form as what a GGUF adapter of it consists of."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from peft import LoraConfig
from peft.utils.other import get_pattern_key

from services.lm.adapters.settings import read_settings
from services.lm.adapters.tensors import PEFT_PREFIX, renamed
from services.lm.conversion.families.arrangement import rows_to_gguf
from services.lm.conversion.families.contents import GgufPlan, GgufTensor, unchanged
from services.lm.conversion.families.family import HEAD, Dimensions, Family, Part, Shape
from services.lm.conversion.families.plan import dimensions, general_entries, read_configuration, tensor_shapes
from services.lm.errors import AdapterMismatch, InvalidModelFile
from services.lm.folders.weights import weight_files

_FILE: Final = "adapter_model.safetensors"
_FIRST: Final = ".lora_A.weight"
_SECOND: Final = ".lora_B.weight"
_MERGE: Final = "Merge it, and export the merged model."


def plan_adapter(folder: Path, adapter: Path) -> GgufPlan:
    """See `services.lm.conversion.families.rename_lora`; a scale of one pair alone is folded into its B."""
    config, family = read_configuration(folder)
    settings = read_settings(adapter)
    _check_kind(settings)
    shapes, weights = tensor_shapes([adapter / _FILE]), tensor_shapes(weight_files(folder))
    sizes = dimensions(config, family, weights)
    parts = _parts(family, sizes, HEAD.folder in weights)
    sources = renamed({name: name for name in shapes}, parts)
    alpha = float(settings.lora_alpha) or 1.0
    tensors = []
    for place in sorted(name for name in sources if not name.endswith(_SECOND)):
        module = place.removeprefix(PEFT_PREFIX).removesuffix(_FIRST)
        if module not in parts or f"{PEFT_PREFIX}{module}{_SECOND}" not in sources:
            raise InvalidModelFile("A GGUF adapter cannot hold this change of the model.", _MERGE, place[:120])
        first, second = sources[place], sources[f"{PEFT_PREFIX}{module}{_SECOND}"]
        name, part = parts[module]
        _check_shapes(part.shape(sizes), shapes[first], shapes[second], module)
        scale = _scale(settings, module) * shapes[first][0] / alpha
        values = _scaled(rows_to_gguf(part, sizes) or unchanged, scale)
        tensors.append(GgufTensor(f"{name}.lora_a", shapes[first], first, unchanged, is_matrix=False))
        tensors.append(GgufTensor(f"{name}.lora_b", shapes[second], second, values, is_matrix=False))
    entries = general_entries(family, adapter.name, "adapter")
    return GgufPlan([*entries, ("adapter.type", "lora", "STRING"), ("adapter.lora.alpha", alpha, "FLOAT32")], tensors)


def _check_kind(settings: LoraConfig) -> None:
    kinds = {
        "scales the base's weights (DoRA)": settings.use_dora,
        "brings whole modules": settings.modules_to_save,
        "changes parameters that are no modules": settings.target_parameters,
        "began with a part of its base": isinstance(settings.init_lora_weights, str),
    }
    for problem, is_so in kinds.items():
        if is_so:
            raise InvalidModelFile(f"The adapter {problem}, which GGUF cannot express.", _MERGE, "adapter_config.json")


def _parts(family: Family, sizes: Dimensions, has_head: bool) -> dict[str, tuple[str, Part]]:
    """The matrices that an adapter may change, by module: their names in GGUF and what they are."""
    parts = {
        f"{family.layers}.{layer}.{part.folder}".removesuffix(".weight"): (f"blk.{layer}.{part.gguf}", part)
        for layer in range(sizes.layers)
        for part in family.parts(sizes, layer)
        if len(part.sizes) == 2 and part.form not in ("second", "logarithm")
    }
    return parts | ({HEAD.folder.removesuffix(".weight"): (HEAD.gguf, HEAD)} if has_head else {})


def _check_shapes(shape: Shape, first: Shape, second: Shape, module: str) -> None:
    if len(first) != 2 or len(second) != 2 or (second[0], first[1]) != shape or first[0] != second[1]:
        raise AdapterMismatch(
            f"Its tensors have the shapes {first} and {second}, the model's has {shape}.",
            "Choose the base model it was trained on.",
            f"module {module[:80]!r}",
        )


def _scale(settings: LoraConfig, module: str) -> float:
    """As PEFT has it: what the product of the two is multiplied by."""
    ranks, alphas = settings.rank_pattern, settings.alpha_pattern
    rank = ranks.get(get_pattern_key(ranks.keys(), module), settings.r)
    alpha = alphas.get(get_pattern_key(alphas.keys(), module), settings.lora_alpha)
    return float(alpha) / (math.sqrt(rank) if settings.use_rslora else rank)


def _scaled(values: Callable[[NDArray[Any]], NDArray[Any]], scale: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    if math.isclose(scale, 1.0, rel_tol=1e-9):
        return values
    return lambda numbers: values(numbers) * np.float32(scale)
