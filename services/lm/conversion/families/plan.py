"""A folder in Hugging Face form as what a GGUF file of it consists of; only headers are read."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from huggingface_hub.errors import StrictDataclassError
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig

from services.lm.conversion.families.architectures.table import BY_MODEL_TYPE, why_not
from services.lm.conversion.families.arrangement import rows_together, to_gguf
from services.lm.conversion.families.contents import GgufPlan, GgufTensor, unchanged
from services.lm.conversion.families.family import FOLDER_FORMS, HEAD, Count, Dimensions, Entry, Family, Part, Shape
from services.lm.conversion.families.fit import check_fit, whole_setting
from services.lm.conversion.families.positions import full_rope, position_entries, position_tables
from services.lm.conversion.families.windows import config_window, window_entries
from services.lm.conversion.vocabulary.writing import model_name, read_vocabulary
from services.lm.errors import InvalidModelFile
from services.lm.folders import check_model_folder
from services.lm.folders.weights import weight_files

_FETCH_AGAIN: Final = "Fetch the model again."
_KV_HEADS: Final = "num_key_value_heads"
_CONTEXT: Final = "max_position_embeddings"
# Of a class whose positions have no end.
_UNLIMITED: Final = 2048
# As llama.cpp's own quantiser has it.
_NEVER_QUANTISED: Final = ("ffn_gate_inp", "conv", "ssm_conv1d", "position_embd")
# llama.cpp asks for these also where they say nothing.
_NO_ATTENTION: Final[dict[str, tuple[object, str]]] = {
    "feed_forward_length": (0, "UINT32"),
    "attention.head_count": (0, "UINT32"),
}
_FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
# Buffers that old folders hold and no class reads.
_IGNORED: Final = re.compile(r".*\.(rotary_emb\.inv_freq|attn\.(masked_)?bias)")


def plan_model(folder: Path) -> GgufPlan:
    """See `services.lm.conversion.families.plan_gguf`."""
    config, family = read_configuration(folder)
    shapes = tensor_shapes(weight_files(folder))
    sizes = dimensions(config, family, shapes)
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
            f"{why_not(name)} Those that are: {', '.join(BY_MODEL_TYPE)}.", FOLDER_FORMS, "config.json"
        )
    family, config = BY_MODEL_TYPE[name], _completed(content)
    for key, values in family.fixed.items():
        value = getattr(config, key, values[0])
        if value not in values:
            raise _inexpressible(f"{key} {str(value)[:60]}", family)
    return config, family


def _completed(content: dict[str, Any]) -> Any:
    try:
        return AutoConfig.for_model(**content)
    except (StrictDataclassError, AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        words = " ".join(str(error).split())[:200]
        raise InvalidModelFile(f"Its class cannot have such settings: {words}", _FETCH_AGAIN, "config.json") from error


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


def dimensions(config: Any, family: Family, shapes: dict[str, Shape]) -> Dimensions:
    """The sizes that the configuration announces; the vocabulary's is that of the embeddings.

    Raises:
        InvalidModelFile: The folder has no embeddings.
    """
    heads, hidden = config.num_attention_heads if family.has_attention else 1, config.hidden_size
    if min(heads, hidden, config.num_hidden_layers, _kv_heads(config, family) or 1) < 1:
        raise InvalidModelFile("It has no layers, no heads, or none of a size.", _FETCH_AGAIN, "config.json")
    sizes = Dimensions(
        config.num_hidden_layers,
        hidden,
        _feed_forward(config, family, shapes),
        heads,
        _kv_heads(config, family) or heads,
        getattr(config, "head_dim", None) or hidden // heads,
        (*shapes[_stored_name(family.embedding.folder, shapes)], 0)[0],
        whole_setting(config, family.names.get(_CONTEXT, _CONTEXT), _UNLIMITED),
        tuple(config.layer_types) if family.has_kinds else (),
        {setting.size: whole_setting(config, setting.name) for setting in family.settings if setting.size},
    )
    check_fit(family, sizes, FOLDER_FORMS)
    return sizes


def _feed_forward(config: Any, family: Family, shapes: dict[str, Shape]) -> int:
    """As the tensors have it, where a configuration names it otherwise, or computes it."""
    if not family.has_attention:
        return int(config.hidden_size)
    if "intermediate_size" not in family.names:
        return int(config.intermediate_size)
    part = next(part for part in family.layer if part.sizes[0] in ("feed_forward", "four_hidden"))
    shape = shapes[_stored_name(f"{family.layers}.0.{part.folder}", shapes)]
    # One without dimensions is refused with its shape.
    return (0, *shape)[-1] if part.form == "transposed" else (*shape, 0)[0]


def _kv_heads(config: Any, family: Family) -> int | None:
    if getattr(config, "multi_query", False) and not config.new_decoder_architecture:
        return 1
    count: int | None = getattr(config, family.names.get(_KV_HEADS, _KV_HEADS), None)
    return count


def _stored_name(name: str, shapes: Mapping[str, Shape]) -> str:
    """The name as the folder has it: some leave out what it begins with, as `transformer.`.

    Raises:
        InvalidModelFile: There is no such tensor.
    """
    names = [name, name.partition(".")[2]]
    found = next((stored for stored in names if stored.format(0) in shapes), None)
    if found is None:
        raise InvalidModelFile("The tensor is missing.", _FETCH_AGAIN, f"tensor {name!r}")
    return found


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
        "context_length": (_context(config, family, sizes), "UINT32"),
        "embedding_length": (sizes.hidden, "UINT32"),
        "block_count": (sizes.layers, "UINT32"),
    }
    values |= _attention(sizes) if family.has_attention else _NO_ATTENTION
    values |= {key: (value, "UINT32") for key, value in family.constants.items()}
    epsilon = family.epsilon
    values[epsilon.key] = (getattr(config, epsilon.name) if epsilon.name else epsilon.default, "FLOAT32")
    for setting in family.settings:
        value = getattr(config, setting.name, None)
        if value is None and setting.default is not None:
            raise _inexpressible(f"no {setting.name}", family)
        if value is None:
            continue
        number = (int(value), "UINT32") if isinstance(setting, Count) else (float(value), "FLOAT32")
        values[setting.key] = number
    entries: list[Entry] = [(f"{family.architecture}.{key}", *value) for key, value in values.items()]
    return [*entries, *position_entries(config, family, sizes), *window_entries(config, family, sizes)]


def _attention(sizes: Dimensions) -> dict[str, tuple[object, str]]:
    kv_heads = (_kv_counts(sizes), "ARRAY") if sizes.layer_kinds else (sizes.kv_heads, "UINT32")
    return {
        "feed_forward_length": (sizes.feed_forward, "UINT32"),
        "attention.head_count": (sizes.heads, "UINT32"),
        "attention.head_count_kv": kv_heads,
        "attention.key_length": (sizes.head, "UINT32"),
        "attention.value_length": (sizes.head, "UINT32"),
    }


def _kv_counts(sizes: Dimensions) -> list[int]:
    return [sizes.kv_heads if kind == "full_attention" else 0 for kind in sizes.layer_kinds]


def _context(config: Any, family: Family, sizes: Dimensions) -> int:
    window = config_window(config)
    return min(sizes.context, window) if family.ignores_window and window else sizes.context


def _limits(config: Any, family: Family, sizes: Dimensions) -> list[str]:
    """What a person must know of the file's reach; and what llama.cpp would compute otherwise is refused."""
    notes = []
    if _context(config, family, sizes) < sizes.context:
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
        place, prefix = f"blk.{layer}", f"{family.layers}.{layer}"
        present = [part for group in family.biases for part in group if f"{prefix}.{part.folder}" in shapes]
        for part in (*family.parts(sizes, layer), *present):
            tensors.append(_tensor(part, f"{place}.{part.gguf}", f"{prefix}.{part.folder}", sizes, rest))
    if rest:
        name = min(rest)
        raise InvalidModelFile(
            f"A GGUF of {family.architecture} has no such tensor.", FOLDER_FORMS, f"tensor {name[:80]!r}"
        )
    return tensors


def _tensor(part: Part, name: str, folder_name: str, sizes: Dimensions, rest: dict[str, Shape]) -> GgufTensor:
    """Take it from what the folder has; an expert's part is one tensor there and a slice in GGUF."""
    shape, source = part.folder_shape(sizes), _stored_name(folder_name, rest)
    is_parted = "{}" in source
    for single in (source.format(number) for number in range(shape[0])) if is_parted else (source,):
        stored, expected = rest.pop(single, None), shape[1:] if is_parted else shape
        if stored != expected:
            is_there = f"Its shape is {stored}, the configuration asks for {expected}."
            problem = "The tensor is missing." if stored is None else is_there
            raise InvalidModelFile(problem, _FETCH_AGAIN, f"tensor {single!r}")
    stem, _, suffix = name.rpartition(".")
    is_matrix = len(part.sizes) > 1 and suffix == "weight" and stem.split(".")[-1] not in _NEVER_QUANTISED
    return GgufTensor(
        name, part.shape(sizes), source, stored_values(part, sizes), is_matrix, rows_together(part, sizes)
    )


def stored_values(part: Part, sizes: Dimensions) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What makes GGUF's numbers of the folder's."""
    if part.form in ("first", "second"):
        return lambda values: values.reshape(part.shape(sizes))
    if part.shift:
        return lambda values: values + np.float32(part.shift)
    return to_gguf(part, sizes) or unchanged
