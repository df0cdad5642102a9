"""Making, loading, saving and merging adapters."""

import json
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import ModulesToSaveWrapper
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from services.lm.adapters.settings import DECOMPOSING_STARTS, LoraSettings, matching, new_config, read_settings
from services.lm.adapters.tensors import fitting, read_tensors, renamed
from services.lm.decoder.model import forget
from services.lm.errors import AdapterMismatch
from services.lm.folders.publish import published

_WEIGHTS: Final = "adapter_model.safetensors"


def add_lora(model: PreTrainedModel, settings: LoraSettings, *, seed: int) -> PeftModel:
    """The model with a fresh trainable adapter in float32; the base weights are frozen. Equal seeds, equal adapters.

    Raises:
        AdapterMismatch: The model lacks a module that is named, or one cannot carry such an adapter.
    """
    _refuse_wrapped(model)
    config = new_config(settings, model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wrapped = _wrap(model, config, "Choose target_modules that the model has.")
    # Some starts take a part out of the base.
    forget(model)
    return wrapped


def load_adapter(model: PreTrainedModel, folder: Path, *, is_trainable: bool) -> PeftModel:
    """The model with the adapter in `folder`, bit-equal to what was saved; `is_trainable` continues its training.

    An adapter that began as a part of its base (PiSSA, OLoRA) takes that part out of the model's weights, as PEFT does.

    Raises:
        InvalidModelFile: The folder is damaged or not a LoRA adapter of the supported form.
        AdapterMismatch: A tensor is missing, has no place in this model or another shape; it is named.
    """
    config = read_settings(folder)
    if not is_trainable:
        # It is drawn in training alone, and PEFT knows no dropout before a mixture's experts.
        config.lora_dropout = 0.0
    wrapped, own = attach(model, config, folder)
    result = set_peft_model_state_dict(wrapped, own)
    if result.unexpected_keys:
        raise AdapterMismatch("A tensor has no place in the model.", "Choose its own base.", result.unexpected_keys[0])
    forget(model)
    for name, parameter in wrapped.named_parameters():
        parameter.requires_grad_(is_trainable and ("lora_" in name or ".modules_to_save." in name))
    return wrapped


def check_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Return when the adapter in `folder` fits the model, which may be on the device `meta`, and changes it.

    Raises:
        InvalidModelFile: As `load_adapter`.
        AdapterMismatch: As `load_adapter`; or all that it adds is zero.
    """
    config = read_settings(folder)
    # A start that takes a part out of the base needs the base's weights.
    config.init_lora_weights = False
    config.lora_dropout = 0.0
    _, own = attach(model, config, folder)
    added = [name for name in own if ".lora_A" not in name and ".lora_embedding_A" not in name]
    if not any(own[name].any() for name in added):
        raise AdapterMismatch(
            f"All {len(added)} tensors that the adapter would add are zero: it changes nothing.",
            "Train it, or take a later checkpoint.",
            min(added, default=""),
        )


def is_decomposed(config: LoraConfig) -> bool:
    """The adapter began as a part of its base, which is taken out of the base's weights when it is loaded."""
    return config.init_lora_weights in DECOMPOSING_STARTS


def attach(
    model: PreTrainedModel, config: LoraConfig, folder: Path, weight_of: Callable[[str], Tensor | None] | None = None
) -> tuple[PeftModel, dict[str, Tensor]]:
    """The model with the layers of the adapter in `folder`, and the tensors that they get, by PEFT's names.

    `weight_of` gives the weight of the base that a name stands for, where the model itself has none.

    Raises:
        InvalidModelFile: The file is damaged.
        AdapterMismatch: A tensor is missing, has no place in this model or another shape; it is named.
    """
    _refuse_wrapped(model)
    weight_of = weight_of or dict(model.named_parameters(remove_duplicate=False)).get
    modules = [name for name, _ in model.named_modules()]
    tensors = renamed(read_tensors(folder / _WEIGHTS), modules)
    if isinstance(config.target_modules, str):
        config.target_modules = set(matching(config.target_modules, modules))
    wrapped = _wrap(model, config, "Choose the base model it was trained on.")
    return wrapped, fitting(wrapped, tensors, weight_of)


def save_adapter(model: PeftModel, out: Path, *, base: str = "") -> None:
    """Write the adapter to the new folder `out` in PEFT's form; `base` names the model it belongs to.

    Raises:
        LmError: `out` exists already.
    """
    snapshot_adapter(model, base=base)(out)


def snapshot_adapter(model: PeftModel, *, base: str = "") -> Callable[[Path], None]:
    """Copy the adapter to the CPU's memory, and return what writes the copy to a new folder as `save_adapter` does."""
    config = model.peft_config["default"].to_dict() | {"base_model_name_or_path": base, "inference_mode": True}
    text = json.dumps(config, indent=2, sort_keys=True, default=_plain)
    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in weights.items()}

    def write(out: Path) -> None:
        with published(out) as folder:
            (folder / "adapter_config.json").write_text(text, encoding="utf-8")
            save_file(tensors, folder / _WEIGHTS)

    return write


def merge_adapter(model: PeftModel) -> PreTrainedModel:
    """The base model with the adapter added into its weights; the wrapper must not be used afterwards.

    A head that shares its weights with the embedding gets its own once one of the two is adapted; the configuration
    says so.
    """
    _untie(model.get_base_model())
    merged: PreTrainedModel = model.merge_and_unload()
    forget(merged)
    return merged


def _untie(model: PreTrainedModel) -> None:
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [layer for layer in (table, head) if isinstance(layer, BaseTunerLayer | ModulesToSaveWrapper)]
    if head is None or not layers or _inner(table).weight is not _inner(head).weight:
        return
    _inner(head).weight = nn.Parameter(_inner(head).weight.detach().clone(), requires_grad=False)
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = False


def _inner(layer: Any) -> Any:
    if isinstance(layer, ModulesToSaveWrapper):
        return layer.original_module
    return layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer


def _refuse_wrapped(model: PreTrainedModel) -> None:
    if isinstance(model, PeftModel) or any("lora_" in name for name, _ in model.named_parameters()):
        raise AdapterMismatch("The model has an adapter already.", "Load the base model again, or merge the adapter.")


def _wrap(model: PreTrainedModel, config: LoraConfig, next_step: str) -> PeftModel:
    try:
        with _quiet():
            _target_joined_experts(config, model)
            wrapped = get_peft_model(model, config)
    except (ValueError, TypeError, RuntimeError) as error:
        raise AdapterMismatch(str(error).split(". ")[0].rstrip(".") + ".", next_step) from error
    if not isinstance(wrapped, PeftModel):
        raise AdapterMismatch("The model cannot carry an adapter.", "Choose a causal language model.")
    return wrapped


def _target_joined_experts(config: LoraConfig, model: PreTrainedModel) -> None:
    """Target a mixture's joined experts where the settings name them one by one, with the scaling that each had."""
    before = set(config.target_modules or ())
    patterns = dict(config.alpha_pattern or {}), dict(config.rank_pattern or {})
    convert_peft_config_for_transformers(config, model, None)
    if set(config.target_modules or ()) == before:
        return
    if any(patterns):
        raise ValueError("Patterns of ranks or alphas cannot be carried over to experts that are joined.")
    for key, alpha in config.alpha_pattern.items():
        # PEFT multiplies rank and alpha alike, which keeps alpha / r, but not alpha / sqrt(r).
        config.alpha_pattern[key] = (
            alpha / math.sqrt(config.rank_pattern[key] / config.r) if config.use_rslora else alpha
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PEFT's warnings of what is taken care of here, or is none of the user's doing."""
    with warnings.catch_warnings():
        # It reads a property that transformers 5 renamed, and misses the parameters that its own patterns name.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*did not match any targeted module.*", category=RuntimeWarning)
        warnings.filterwarnings("ignore", message=".*(tie_word_embeddings|fan_in_fan_out|tied).*")
        yield


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
