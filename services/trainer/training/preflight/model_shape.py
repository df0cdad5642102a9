"""The shape of a model, from the headers of its files: no weight is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from services.lm.errors import InvalidModelFile
from services.lm.folders.json_files import read_json
from services.lm.folders.weights import weight_files
from services.trainer.domain.memory import ModelShape
from services.trainer.domain.spec import ScratchConfig

_NO_LAYERS = ("embed_tokens", "lm_head", "wte", "wpe", "embed_out", "embed_in", "word_embeddings")


@lru_cache(maxsize=8)
def shape_of(folder: Path) -> ModelShape:
    """Return the shape of the model in a folder, which never changes.

    Raises:
        InvalidModelFile: Its weights have no header that can be read.
    """
    config = read_json(folder / "config.json")
    sizes = {name: size for file in weight_files(folder) for name, size in tensor_sizes(file).items()}
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 1)
    return ModelShape(
        num_weights=sum(math.prod(size) for size in sizes.values()),
        modules=_modules(sizes, int(config.get("vocab_size") or 1) * hidden),
        linear_layers={
            name.removesuffix(".weight"): (size[0], size[1]) for name, size in sizes.items() if _is_linear(name, size)
        },
        hidden_size=hidden,
        intermediate_size=int(config.get("intermediate_size") or config.get("n_inner") or 4 * hidden),
        num_hidden_layers=int(config.get("num_hidden_layers") or config.get("n_layer") or 1),
        vocab_size=int(config.get("vocab_size") or 1),
    )


def scratch_shape(shape: ModelShape, config: Mapping[str, Any], scratch: ScratchConfig) -> ModelShape:
    """Return the shape of a new model after one of `shape`, as a decoder of Llama's kind counts its weights."""
    hidden = scratch.hidden_size or shape.hidden_size
    inner = scratch.intermediate_size or shape.intermediate_size
    layers = scratch.num_hidden_layers or shape.num_hidden_layers
    vocab = scratch.vocab_size or shape.vocab_size
    heads = scratch.num_attention_heads or int(config.get("num_attention_heads") or 1)
    key_heads = scratch.num_key_value_heads or int(config.get("num_key_value_heads") or heads)
    ties = bool(config.get("tie_word_embeddings", False))
    per_layer = 2 * hidden * hidden + 2 * hidden * hidden * key_heads // heads + 3 * hidden * inner + 2 * hidden
    return replace(
        shape,
        num_weights=layers * per_layer + vocab * hidden * (1 if ties else 2) + hidden,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        vocab_size=vocab,
    )


def tensor_sizes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a safetensors file.

    Raises:
        InvalidModelFile: It has no header that can be read.
    """
    try:
        with safe_open(file, framework="numpy") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InvalidModelFile(f"Its header cannot be read ({error}).", "Fetch it again.", file.name) from error


def _modules(sizes: Mapping[str, tuple[int, ...]], vocabulary_size: int) -> dict[str, int]:
    modules: dict[str, int] = {}
    for name, size in sizes.items():
        holder = name.rpartition(".")[0]
        modules[holder] = modules.get(holder, 0) + math.prod(size)
    # One that shares its weights with the embeddings is not in the file, and has its own once it is trained.
    modules.setdefault("lm_head", vocabulary_size)
    return modules


def _is_linear(name: str, size: tuple[int, ...]) -> bool:
    return name.endswith(".weight") and len(size) == 2 and not any(part in _NO_LAYERS for part in name.split("."))
