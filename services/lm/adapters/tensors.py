"""The tensors of an adapter's file, under the names that PEFT gives them for one model, whoever wrote the file."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from peft.utils.transformers_weight_conversion import convert_peft_adapter_state_dict_for_transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from services.lm.errors import AdapterMismatch, InvalidModelFile

_Item = TypeVar("_Item")

PEFT_PREFIX: Final = "base_model.model."
_OTHER_BASE: Final = "Choose the base model it was trained on."
_JOINED: Final = (
    "Merge it where it was made: this model's experts are joined, and such an adapter cannot be carried over."
)
_WHOLE: Final = "Save the adapter in float32 or bfloat16."
_AGAIN: Final = "Train the adapter again, with a lower learning rate, or take an earlier checkpoint."
# Services show 400 letters.
_NAMED: Final = 3
# What trainers, compilers and PEFT itself put before a module's name, any number of times.
_WRAPPERS: Final = re.compile(r"^(?:base_model\.model\.|base_model\.|module\.|_orig_mod\.|_fsdp_wrapped_module\.)*")
# `lora_A.default.weight`: some save the name of the adapter with it.
_PART: Final = re.compile(r"\.(lora_(?:A|B|embedding_A|embedding_B|magnitude_vector))(?:\.[^.]+)??(\.weight)?$")
_BARE: Final = frozenset({"lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector"})
# Text models alone and inside a model that sees: the same layers under other names. (file's beginning, model's)
_BEGINNINGS: Final = (
    *(
        ("", ""),
        ("", "model."),
        ("model.", ""),
        ("model.language_model.", "model."),
        ("language_model.model.", "model."),
    ),
    *(("language_model.", ""), ("model.", "model.language_model."), ("model.", "language_model.model.")),
    *(("", "transformer."), ("transformer.", "")),
)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        InvalidModelFile: It is damaged, or one of them is quantized or not finite.
    """
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except SafetensorError as error:
        raise InvalidModelFile(f"The file is damaged ({error}).", "Fetch it again.", file.name) from error
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise InvalidModelFile(
                f"The adapter's tensor holds {str(tensor.dtype).removeprefix('torch.')}, which is quantized.",
                _WHOLE,
                name,
            )
        if not tensor.float().isfinite().all():
            raise InvalidModelFile("The adapter's tensor holds numbers that are infinite or none.", _AGAIN, name)
    return tensors


def renamed(tensors: Mapping[str, _Item], modules: Iterable[str]) -> dict[str, _Item]:
    """The tensors as PEFT names them, for a model that has these `modules`; what has no place keeps its name.

    Raises:
        AdapterMismatch: Two tensors come to one name.
    """
    parts = {name: _split(name) for name in tensors}
    old, new = _beginning([module for module, _ in parts.values()], frozenset(modules))
    names = {name: PEFT_PREFIX + _changed(module, old, new) + part for name, (module, part) in parts.items()}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise AdapterMismatch("Two tensors of the adapter are for one place.", "Fetch the adapter again.", twice[0])
    return {names[name]: tensor for name, tensor in tensors.items()}


def fitting(
    wrapped: PeftModel, tensors: Mapping[str, Tensor], weight_of: Callable[[str], Tensor | None]
) -> dict[str, Tensor]:
    """Just the tensors that the wrapped model's adapter consists of, each of its shape.

    `weight_of` gives the base's weight of a name, to be compared with what the file brings along.
    Files of other versions hold the experts of a mixture one by one; PEFT joins them.

    Raises:
        AdapterMismatch: One is missing, has no place or another shape; it is named.
    """
    expected = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    joined = _joined(wrapped, tensors)
    own = {name: tensor for name, tensor in joined.items() if ".lora_" in name or name in expected}
    _check_base_weights({name: tensor for name, tensor in joined.items() if name not in own}, weight_of)
    homeless = [name for name in own if name not in expected]
    next_step = _JOINED if any(".experts." in name for name in homeless) else _OTHER_BASE
    _refuse_some(homeless, "have no place in the model", next_step)
    for name in sorted(own):
        if own[name].shape != expected[name].shape:
            shapes = tuple(own[name].shape), tuple(expected[name].shape)
            raise AdapterMismatch(
                f"The adapter's tensor has the shape {shapes[0]}, the model needs {shapes[1]}.", _OTHER_BASE, name
            )
    missing = [name for name in expected if name not in own]
    _refuse_some(missing, "that its settings announce are missing", "Fetch the adapter again, or choose its own base.")
    return own


def _refuse_some(names: list[str], problem: str, next_step: str) -> None:
    if names:
        names = sorted(names)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        shown = ", ".join(name.removeprefix(PEFT_PREFIX) for name in names[:_NAMED]) + more
        raise AdapterMismatch(f"{len(names)} tensors of the adapter {problem}: {shown}.", next_step, names[0])


def _split(name: str) -> tuple[str, str]:
    """The module's name without what wraps it, and the part of its adapter."""
    bare = _WRAPPERS.sub("", name)
    part = _PART.search(bare)
    if part is None:
        module, dot, last = bare.rpartition(".")
        return module, dot + last
    return bare[: part.start()], f".{part[1]}" if part[1] in _BARE else f".{part[1]}.weight"


def _beginning(names: list[str], modules: frozenset[str]) -> tuple[str, str]:
    """The change by which most names are the model's."""
    return max(_BEGINNINGS, key=lambda pair: sum(_changed(name, *pair) in modules for name in names))


def _changed(name: str, old: str, new: str) -> str:
    return new + name.removeprefix(old) if name.startswith(old) else name


def _joined(wrapped: PeftModel, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    config: LoraConfig = wrapped.peft_config["default"]
    try:
        joined: dict[str, Tensor] = convert_peft_adapter_state_dict_for_transformers(wrapped, config, dict(tensors))
    except (ValueError, KeyError, RuntimeError, TypeError, IndexError) as error:
        raise AdapterMismatch(f"The adapter's experts cannot be joined ({error}).", _OTHER_BASE) from error
    return joined


def _check_base_weights(tensors: Mapping[str, Tensor], weight_of: Callable[[str], Tensor | None]) -> None:
    """PEFT saves an adapted embedding along with its adapter; if it is not the base's own, it is refused."""
    for name, tensor in tensors.items():
        place = name.removeprefix(PEFT_PREFIX)
        layer, _, last = place.removesuffix(".weight").partition(".base_layer")
        weight = next((weight for key in (place, f"{layer}.weight") if (weight := weight_of(key)) is not None), None)
        if weight is None or last or not _is_same(weight, tensor):
            raise AdapterMismatch(
                "The adapter brings weights in place of the base's.", "Merge it where it was made.", name
            )


def _is_same(weight: Any, tensor: Tensor) -> bool:
    if weight.shape != tensor.shape:
        return False
    if weight.is_meta:
        # Only names and shapes can be compared.
        return True
    return torch.equal(weight.detach().to(tensor.dtype), tensor) or torch.equal(weight, tensor.to(weight.dtype))
