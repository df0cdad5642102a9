"""Loading a model folder for compute: safetensors only, never remote code, and an adapter only when it fits."""

import ctypes
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging

from services.lm import prefix
from services.lm.chat import eos_ids_of
from services.lm.errors import InvalidModelFile, NoSuchDevice
from services.lm.folders import check_model_folder, folder_digest
from services.lm.folders.templates import template_digest
from services.lm.folders.tokenizer import load_tokenizer
from services.lm.folders.weights import weight_files
from services.lm.process import usable_cores

# glibc's mallopt: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX (other arenas are too small for a large tensor).
_KEEP_MEMORY: Final = ((-3, 1 << 30), (-1, (1 << 31) - 1), (-8, 1))
# As Linux names the instructions on x86 and on ARM.
_BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})
# What older files keep with a layer and every model makes anew: turning angles and masks.
BUFFER: Final = re.compile(r"\.(inv_freq|masked_bias|attn\.bias|attention\.bias|position_ids)$")
# How many layers behind the last one guess ahead, which is not done here.
_AHEAD: Final = "num_nextn_predict_layers"
_NUMBERS: Final = frozenset({"F64", "F32", "F16", "BF16"})
DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to compute, with what a result must record about it.

    Attributes:
        eos_ids: Token ids that end an answer.
        max_positions: The longest sequence, prompt and answer together, in tokens.
        device: Kind of the device that computes, "cpu" or "cuda".
        digest: SHA-256 of the model folder; `adapter_digest` of the merged adapter's, or "".
        chat_template_digest: SHA-256 of the chat template's text, or of all templates and their names.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    eos_ids: frozenset[int]
    max_positions: int
    dtype: str
    device: str
    digest: str
    adapter_digest: str
    chat_template_digest: str


def load(
    path: Path, *, dtype: str = "auto", adapter: Path | None = None, device: str = "cpu", in_4bit: bool = False
) -> LoadedModel:
    """The model in the folder `path`, in evaluation mode, with `adapter` merged into its weights if one is given.

    `device` is "cpu", "cuda", or "auto" (a GPU if there is one); `dtype` is "float32", "bfloat16", or "auto" (the
    faster one on that device). An adapter is merged in float32
    before the weights are rounded to `dtype`. With `in_4bit` the layers' weights are held in 4 bits (NF4, by
    bitsandbytes) and computed in `dtype`. All weights are frozen. For training, load without an adapter and use
    `adapters.load_adapter`.

    Raises:
        InvalidModelFile: The folder is damaged, incomplete, or could run code.
        AdapterMismatch: The adapter was made for another model.
        NoSuchDevice: "cuda" was asked for, and there is none; or 4 bits, without CUDA or bitsandbytes.
    """
    transformers_logging.disable_progress_bar()
    check_model_folder(path)
    place = chosen_device(device)
    number_type = faster_dtype(place) if dtype == "auto" else dtype
    tokenizer = load_tokenizer(path)
    quantization = _in_4bit(place, DTYPES[number_type]) if in_4bit else {}
    model = _load_weights(path, torch.float32 if adapter else DTYPES[number_type], quantization)
    if adapter:
        # PEFT takes longer to import than a small model to load, and most models come without an adapter.
        from services.lm.adapters import load_adapter, merge_adapter

        model = merge_adapter(load_adapter(model, adapter, is_trainable=False)).to(DTYPES[number_type])
    model = (model if in_4bit else model.to(place)).eval().requires_grad_(False)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        eos_ids=eos_ids_of(model.generation_config, model.config, tokenizer),
        max_positions=int(getattr(model.config, "max_position_embeddings", 1 << 30)),
        dtype=number_type,
        device=place,
        digest=folder_digest(path),
        adapter_digest=folder_digest(adapter) if adapter else "",
        chat_template_digest=template_digest(tokenizer.chat_template),
    )


def prepare_process(threads: int | None = None) -> int:
    """Fix the number of compute threads, by default one per usable core, and keep freed memory; returns the number.

    Large tensors are freed and allocated again all the time. By default glibc returns each to the system, and touching
    the fresh pages again costs more than the arithmetic (measured: 3 to 12 times on an element-wise product).
    """
    num_threads = threads or usable_cores()
    torch.set_num_threads(num_threads)
    allocator = getattr(ctypes.CDLL(None), "mallopt", None)
    if allocator is not None:
        for option, value in _KEEP_MEMORY:
            allocator(option, value)
    return num_threads


def chosen_device(device: str) -> str:
    """The kind of device that `device` names; "auto" is a GPU if there is one.

    Raises:
        NoSuchDevice: It is "cuda", and torch finds none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise NoSuchDevice("torch finds no GPU.", "Use the device auto or cpu, or install a torch with CUDA.")
    return device


def faster_dtype(device: str = "cpu") -> str:
    """The type that a device multiplies faster: "bfloat16" if it has instructions for it, else "float32".

    With them bfloat16 is about twice as fast (measured on AVX-512); without them it is emulated and slower.
    """
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    facts = Path("/proc/cpuinfo")
    flags = facts.read_text(encoding="utf-8", errors="replace").split() if facts.is_file() else []
    return "float32" if _BFLOAT16_FLAGS.isdisjoint(flags) else "bfloat16"


def _in_4bit(device: str, dtype: torch.dtype) -> dict[str, Any]:
    if device != "cuda":
        raise NoSuchDevice(
            "Weights in 4 bits are computed by a GPU alone, and none is used here.",
            "Leave load_in_4bit out, or train where CUDA is.",
        )
    if find_spec("bitsandbytes") is None:
        raise NoSuchDevice("bitsandbytes is not installed.", "Install drillyard with the extra cuda.")
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def _load_weights(path: Path, dtype: torch.dtype, quantization: Mapping[str, Any]) -> PreTrainedModel:
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        model, report = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            attn_implementation=attention_of(config),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **quantization,
        )
    except (ValueError, KeyError, OSError, RuntimeError, TypeError, ImportError, SafetensorError) as error:
        raise InvalidModelFile(f"The model cannot be loaded ({error}).", "Fetch the files again.", str(path)) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise InvalidModelFile(f"{len(missing)} tensors are missing.", "Fetch the files again.", missing[0])
    loaded: PreTrainedModel = model
    is_quantized = hasattr(config, "quantization_config")
    _check_stored(path, is_quantized=is_quantized)
    if not is_quantized:
        _check_all_used(loaded, report["unexpected_keys"])
    return loaded


def _check_all_used(model: PreTrainedModel, unexpected: Iterable[str]) -> None:
    """No part of a layer may be left out.

    Beside the layers a file may hold more than is asked of the model: a part that sees, or one that guesses ahead.
    """
    lists = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList))
    text = model.config.get_text_config()
    ahead = range(text.num_hidden_layers, text.num_hidden_layers + (getattr(text, _AHEAD, None) or 0))
    idle = tuple(f"{name}{layer}." for name in lists for layer in ahead)
    unused = sorted(n for n in unexpected if n.startswith(lists) and not n.startswith(idle) and not BUFFER.search(n))
    if unused:
        raise InvalidModelFile(
            f"The configuration has no use for {len(unused)} tensors of the layers: it belongs to another model.",
            "Fetch config.json and weights from one place.",
            unused[0],
        )


def _check_stored(path: Path, *, is_quantized: bool) -> None:
    """No tensor lies in two files, nor is a weight read as a number that it only stands for."""
    places: dict[str, str] = {}
    for file in weight_files(path):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                if places.setdefault(name, file.name) != file.name:
                    raise InvalidModelFile(
                        f"The tensor lies in {places[name]} and in {file.name}.", "Fetch the files again.", name
                    )
                kind = tensors.get_slice(name).get_dtype()
                if name.endswith(".weight") and kind not in _NUMBERS and not is_quantized:
                    raise InvalidModelFile(
                        f"The weights are stored as {kind}, and the configuration names no quantization.",
                        "Fetch config.json again, or the weights as they were before.",
                        name,
                    )


def attention_of(config: PreTrainedConfig) -> str:
    """The attention to load a model with: one that shares prefixes, or its own where no other can take its place.

    An architecture that writes out its attention itself (Bloom, Falcon, GPT-J) would take another's name, and do
    without the mask that the other makes by itself.
    """
    classes: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), ())
    kinds = classes if isinstance(classes, tuple) else (classes,)
    return prefix.ATTENTION if all(kind._can_set_attn_implementation() for kind in kinds) else "eager"
