"""LoRA adapters in PEFT's folder form: made, saved, continued, merged; never applied to a model they don't fit."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from services.lm.conversion.publish import published
from services.lm.decoder.model import forget
from services.lm.errors import AdapterMismatch, InvalidModelFile
from services.lm.folders import check_adapter_folder

ALL_LINEAR: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_SUPPORTED: Final = frozenset({"r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora"})
# Fields that say nothing about the computation, or only repeat what is the same for every adapter made here.
_IGNORED: Final = frozenset(
    {"peft_type", "peft_version", "task_type", "bias", "base_model_name_or_path", "revision", "inference_mode"}
    | {"init_lora_weights", "fan_in_fan_out", "lora_ga_config", "layers_pattern", "ensure_weight_tying"}
)


@dataclass(frozen=True)
class LoraSettings:
    """What a LoRA adapter is made of; names and meaning as in PEFT."""

    r: int = 16
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ALL_LINEAR
    use_rslora: bool = False
    use_dora: bool = False


def add_lora(model: PreTrainedModel, settings: LoraSettings, *, seed: int) -> PeftModel:
    """The model with a fresh trainable adapter in float32; the base weights are frozen. Equal seeds, equal adapters.

    Raises:
        AdapterMismatch: The model has none of the target modules.
    """
    _refuse_wrapped(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return _wrap(model, settings)
        except ValueError as error:
            raise AdapterMismatch(
                str(error).split(".")[0] + ".", "Choose target_modules that the model has."
            ) from error


def load_adapter(model: PreTrainedModel, folder: Path, *, is_trainable: bool) -> PeftModel:
    """The model with the adapter in `folder`, bit-equal to what was saved; `is_trainable` continues its training.

    Raises:
        InvalidModelFile: The folder is damaged or not a LoRA adapter of the supported form.
        AdapterMismatch: A tensor has no place in this model or another shape; both shapes are named.
    """
    _refuse_wrapped(model)
    settings = read_settings(folder)
    _check_fit(model, folder / "adapter_model.safetensors", settings)
    wrapped = _wrap(model, settings)
    result = set_peft_model_state_dict(wrapped, load_file(folder / "adapter_model.safetensors"))
    if result.unexpected_keys:
        raise AdapterMismatch("A tensor has no place in the model.", "Choose its own base.", result.unexpected_keys[0])
    for name, parameter in wrapped.named_parameters():
        parameter.requires_grad_(is_trainable and "lora_" in name)
    return wrapped


def save_adapter(model: PeftModel, out: Path, *, base: str = "") -> None:
    """Write the adapter to the new folder `out` in PEFT's form; `base` names the model it belongs to.

    Raises:
        LmError: `out` exists already.
    """
    config = model.peft_config["default"].to_dict() | {"base_model_name_or_path": base, "inference_mode": True}
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    with published(out) as folder:
        text = json.dumps(config, indent=2, sort_keys=True, default=_plain)
        (folder / "adapter_config.json").write_text(text, encoding="utf-8")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")


def merge_adapter(model: PeftModel) -> PreTrainedModel:
    """The base model with the adapter added into its weights; the wrapper must not be used afterwards."""
    merged: PreTrainedModel = model.merge_and_unload()
    forget(merged)
    return merged


def read_settings(folder: Path) -> LoraSettings:
    """The settings of the adapter in `folder`.

    Raises:
        InvalidModelFile: The folder is damaged, or the adapter uses a form that isn't supported, which is named.
    """
    config = check_adapter_folder(folder)
    defaults = LoraConfig().to_dict()
    for key, value in config.items():
        if key not in _SUPPORTED | _IGNORED and value and value != defaults.get(key):
            raise InvalidModelFile(
                f"The adapter sets {key[:40]!r}, which is not supported.",
                "Merge it where it was made.",
                "adapter_config.json",
            )
    if config.get("bias", "none") != "none":
        raise InvalidModelFile("The adapter trains biases.", "Merge it where it was made.", "adapter_config.json")
    return _settings({key: config[key] for key in _SUPPORTED if key in config})


def _settings(values: dict[str, Any]) -> LoraSettings:
    modules = values.get("target_modules")
    if not isinstance(modules, list) or not all(isinstance(name, str) for name in modules):
        raise InvalidModelFile("target_modules is not a list of names.", "Name the modules.", "adapter_config.json")
    r = values.get("r")
    if not isinstance(r, int) or not 1 <= r <= 4096:
        raise InvalidModelFile(f"The rank is {r!r}.", "Fetch the adapter again.", "adapter_config.json")
    return LoraSettings(**(values | {"target_modules": tuple(sorted(modules))}))


def _config(settings: LoraSettings) -> LoraConfig:
    values = asdict(settings) | {"target_modules": list(settings.target_modules)}
    return LoraConfig(task_type="CAUSAL_LM", bias="none", **values)


def _refuse_wrapped(model: PreTrainedModel) -> None:
    if isinstance(model, PeftModel) or any("lora_" in name for name, _ in model.named_parameters()):
        raise AdapterMismatch("The model has an adapter already.", "Load the base model again, or merge the adapter.")


def _wrap(model: PreTrainedModel, settings: LoraSettings) -> PeftModel:
    with warnings.catch_warnings():
        # PEFT 0.21 reads a property that transformers 5 renamed.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        wrapped = get_peft_model(model, _config(settings))
    if not isinstance(wrapped, PeftModel):
        raise AdapterMismatch("The model cannot carry an adapter.", "Choose a causal language model.")
    return wrapped


def _check_fit(model: PreTrainedModel, file: Path, settings: LoraSettings) -> None:
    linears = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    try:
        with safe_open(file, framework="pt") as tensors:
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InvalidModelFile(f"The file is damaged ({error}).", "Fetch it again.", file.name) from error
    for name, shape in shapes.items():
        module, _, part = name.removeprefix("base_model.model.").partition(".lora_")
        linear = linears.get(module)
        if linear is None:
            raise AdapterMismatch("The model has no such layer.", "Choose the base model it was trained on.", name)
        expected = {
            "A.weight": (settings.r, linear.in_features),
            "B.weight": (linear.out_features, settings.r),
            "magnitude_vector": (linear.out_features,),
        }.get(part)
        if shape != expected:
            raise AdapterMismatch(
                f"The adapter's tensor has the shape {shape}, the model needs {expected}.",
                "Choose the base model it was trained on.",
                name,
            )


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
