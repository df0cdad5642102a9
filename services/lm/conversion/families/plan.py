"""A folder in Hugging Face form as what a GGUF file of it consists of; only headers are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig

from services.lm.conversion.families.contents import GgufPlan, GgufTensor, unchanged
from services.lm.conversion.families.family import (
    EMBEDDING,
    FOLDER_FORMS,
    HEAD,
    Dimensions,
    Entry,
    Family,
    Part,
    Shape,
    interleave,
)
from services.lm.conversion.families.positions import full_rope, position_entries, position_tables
from services.lm.conversion.families.table import BY_MODEL_TYPE
from services.lm.conversion.families.windows import config_window, window_entries
from services.lm.conversion.vocabulary.writing import model_name, read_vocabulary
from services.lm.errors import InvalidModelFile
from services.lm.folders import check_model_folder
from services.lm.folders.weights import weight_files

_FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
# Buffers that old folders hold and no class reads.
_IGNORED: Final = re.compile(r".*\.(rotary_emb\.inv_freq|attn\.(masked_)?bias)")


def plan_model(folder: Path) -> GgufPlan:
    """See `services.lm.conversion.families.plan_gguf`."""
    config, family = read_configuration(folder)
    shapes = tensor_shapes(weight_files(folder))
    sizes = dimensions(config, shapes)
    vocabulary = read_vocabulary(folder, sizes.vocabulary)
    name = model_name(folder.name, strips_right=vocabulary.strips_right)
    model = _model_entries(config, family, sizes)
    metadata = [*general_entries(family, name, "model"), *model, *vocabulary.entries]
    tables = position_tables(config, family, sizes.head)
    extra = {name: np.array(values, dtype=np.float32) for name, values in tables.items()}
    return GgufPlan(
        metadata, _tensors(family, sizes, shapes), extra, [*_limits(config, family, sizes), *vocabulary.notes]
    )


def read_configuration(folder: Path) -> tuple[Any, Family]:
    """The configuration as transformers completes it, and the family that can express all that it says.

    Raises:
        InvalidModelFile: The folder is damaged or quantised, or no family can.
    """
    content = check_model_folder(folder)
    if content.get("quantization_config"):
        raise InvalidModelFile("The model is quantised.", "Export the version that it was made from.", "config.json")
    name = content["model_type"]
    if name not in BY_MODEL_TYPE:
        raise InvalidModelFile(
            f"The architecture {name[:40]!r} cannot be written as GGUF, only {', '.join(BY_MODEL_TYPE)} can.",
            FOLDER_FORMS,
            "config.json",
        )
    family, config = BY_MODEL_TYPE[name], AutoConfig.for_model(**content)
    for key, values in family.fixed.items():
        value = getattr(config, key, values[0])
        if value not in values:
            raise _inexpressible(f"{key} {str(value)[:60]}", family)
    return config, family


def tensor_shapes(files: Iterable[Path]) -> dict[str, Shape]:
    """The shapes of all tensors in these safetensors files, by name, buffers left aside.

    Raises:
        InvalidModelFile: A file is damaged, or holds something else than floating-point numbers.
    """
    shapes: dict[str, Shape] = {}
    for file in files:
        try:
            with safe_open(file, framework="np") as content:
                for name in content.keys():  # noqa: SIM118
                    described = content.get_slice(name)
                    if described.get_dtype() not in _FLOATS:
                        raise InvalidModelFile(
                            f"It holds {described.get_dtype()}, no floating-point numbers.",
                            "Export the version that it was made from.",
                            f"tensor {name[:80]!r}",
                        )
                    shapes[name] = tuple(described.get_shape())
        except SafetensorError as error:
            raise InvalidModelFile(f"The file is damaged ({error}).", "Fetch it again.", file.name) from error
    return {name: shape for name, shape in shapes.items() if not _IGNORED.fullmatch(name)}


def dimensions(config: Any, shapes: dict[str, Shape]) -> Dimensions:
    """The sizes that the configuration announces; the vocabulary's is that of the embeddings.

    Raises:
        InvalidModelFile: The folder has no embeddings.
    """
    if EMBEDDING.folder not in shapes:
        raise _missing(EMBEDDING.folder)
    heads = config.num_attention_heads
    return Dimensions(
        config.num_hidden_layers,
        config.hidden_size,
        config.intermediate_size,
        heads,
        getattr(config, "num_key_value_heads", None) or heads,
        getattr(config, "head_dim", None) or config.hidden_size // heads,
        shapes[EMBEDDING.folder][0],
    )


def general_entries(family: Family, name: str, kind: str) -> list[Entry]:
    """What any file says of itself."""
    return [
        ("general.architecture", family.architecture, "STRING"),
        ("general.type", kind, "STRING"),
        ("general.name", name, "STRING"),
    ]


def _model_entries(config: Any, family: Family, sizes: Dimensions) -> list[Entry]:
    values: dict[str, tuple[object, str]] = {
        "vocab_size": (sizes.vocabulary, "UINT32"),
        "context_length": (_context(config, family), "UINT32"),
        "embedding_length": (sizes.hidden, "UINT32"),
        "block_count": (sizes.layers, "UINT32"),
        "feed_forward_length": (sizes.feed_forward, "UINT32"),
        "attention.head_count": (sizes.heads, "UINT32"),
        "attention.head_count_kv": (sizes.kv_heads, "UINT32"),
        "attention.key_length": (sizes.head, "UINT32"),
        "attention.value_length": (sizes.head, "UINT32"),
    }
    epsilon = family.epsilon
    values[epsilon.key] = (getattr(config, epsilon.name) if epsilon.name else epsilon.default, "FLOAT32")
    for setting in family.settings:
        value = getattr(config, setting.name, None)
        if value is None and setting.default is not None:
            raise _inexpressible(f"no {setting.name}", family)
        values |= {setting.key: (float(value), "FLOAT32")} if value is not None else {}
    entries: list[Entry] = [(f"{family.architecture}.{key}", *value) for key, value in values.items()]
    return [*entries, *position_entries(config, family, sizes), *window_entries(config, family, sizes)]


def _context(config: Any, family: Family) -> int:
    length, window = int(config.max_position_embeddings), config_window(config)
    return min(length, window) if family.ignores_window and window else length


def _limits(config: Any, family: Family, sizes: Dimensions) -> list[str]:
    """What a person must know of the file's reach; and what llama.cpp would compute otherwise is refused."""
    notes = []
    if _context(config, family) < config.max_position_embeddings:
        notes.append(
            f"Its layers see only the last {config_window(config)} tokens; llama.cpp has no such window in "
            f"{family.architecture}, so the file's context ends there."
        )
    if full_rope(config)["rope_type"] == "longrope":
        notes.append("llama.cpp chooses the tables of positions by the context that it is started with.")
    scalar = getattr(config, "query_pre_attn_scalar", None)
    if scalar is not None and scalar != family.query_scalar(sizes):
        raise _inexpressible(f"query_pre_attn_scalar {scalar}", family)
    period = family.no_rope_period
    if period and any(bool(turns) != bool((layer + 1) % period) for layer, turns in enumerate(config.no_rope_layers)):
        raise _inexpressible("such no_rope_layers", family)
    return notes


def _inexpressible(what: str, family: Family) -> InvalidModelFile:
    return InvalidModelFile(
        f"It has {what}, which a GGUF of {family.architecture} cannot express.", FOLDER_FORMS, "config.json"
    )


def _tensors(family: Family, sizes: Dimensions, shapes: dict[str, Shape]) -> list[GgufTensor]:
    """The head is written where the folder has one, or where llama.cpp needs one: otherwise a file without is tied."""
    rest = dict(shapes)
    if HEAD.folder in shapes and family.head == "never":
        raise _inexpressible("a head of its own", family)
    tensors = [_tensor(part, part.gguf, part.folder, sizes, rest) for part in family.frame]
    if HEAD.folder in shapes:
        tensors.append(_tensor(HEAD, HEAD.gguf, HEAD.folder, sizes, rest))
    elif family.head == "always":
        tensors.append(replace(tensors[0], name=HEAD.gguf))
    for layer in range(sizes.layers):
        place, prefix = f"blk.{layer}", f"model.layers.{layer}"
        present = [part for group in family.biases for part in group if f"{prefix}.{part.folder}" in shapes]
        for part in (*family.layer, *present):
            tensors.append(_tensor(part, f"{place}.{part.gguf}", f"{prefix}.{part.folder}", sizes, rest))
    if rest:
        name = min(rest)
        raise InvalidModelFile(
            f"A GGUF of {family.architecture} has no such tensor.", FOLDER_FORMS, f"tensor {name[:80]!r}"
        )
    return tensors


def _tensor(part: Part, name: str, source: str, sizes: Dimensions, rest: dict[str, Shape]) -> GgufTensor:
    shape = part.shape(sizes)
    if source not in rest:
        raise _missing(source)
    stored = rest.pop(source)
    if stored != shape:
        raise InvalidModelFile(
            f"Its shape is {stored}, the configuration asks for {shape}.",
            "Fetch the model again.",
            f"tensor {source!r}",
        )
    return GgufTensor(name, shape, source, stored_values(part, sizes), len(shape) == 2)


def _missing(name: str) -> InvalidModelFile:
    return InvalidModelFile("The tensor is missing.", "Fetch the model again.", f"tensor {name!r}")


def stored_values(part: Part, sizes: Dimensions) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What makes GGUF's numbers of the folder's."""
    if part.heads:
        heads = sizes.size(part.heads)
        return lambda values: interleave(values, heads)
    if part.shift:
        return lambda values: values + np.float32(part.shift)
    return unchanged
