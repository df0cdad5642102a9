"""The model's configuration in the folder form, from what a GGUF's metadata and tensors say.

Positions: a factor without a type is linear, and `rope.scale_linear` is its older name, as llama.cpp reads them; the
words are those of `transformers.modeling_rope_utils`. Both give the same angles, as the test against llama.cpp's server
shows.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

from services.lm.conversion.header import Header, Tensor
from services.lm.conversion.metadata import OTHER_MODEL, check_metadata
from services.lm.conversion.tensor_types import F32
from services.lm.conversion.vocabulary.tokens import token_texts
from services.lm.errors import InvalidModelFile

_CLASSES: Final = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
_MAX_LAYERS: Final = 1024
FREQUENCIES: Final = "rope_freqs.weight"
# The only values that models with such a table were trained with: Llama 3.1 and later.
_LOW: Final = 1.0
_HIGH: Final = 4.0
_ORIGINAL: Final = 8192
_TOLERANCE: Final = 1e-4
_MAX_FACTOR: Final = 1e6


@dataclass(frozen=True)
class Dimensions:
    """The sizes that the tensors must have."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int


class _Keys:
    """Numbers under `<architecture>.…`, refused when absent or of the wrong type."""

    def __init__(self, header: Header, architecture: str) -> None:
        self._metadata, self._architecture = header.metadata, architecture

    def whole(self, key: str, default: int | None = None) -> int:
        value = self._metadata.get(f"{self._architecture}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1 << 24:
            raise InvalidModelFile(f"The size is {value!r}.", "Fetch the file again.", f"{self._architecture}.{key}")
        return value

    def alike(self, key: str, default: int | None = None) -> int:
        """A number that some files tell for each layer."""
        value = self._metadata.get(f"{self._architecture}.{key}")
        if not isinstance(value, list):
            return self.whole(key, default)
        if len(set(value)) != 1 or not isinstance(value[0], int):
            raise InvalidModelFile("Its layers differ from each other.", OTHER_MODEL, f"{self._architecture}.{key}")
        return value[0]

    def real(self, key: str, default: float | None = None, *, may_be_zero: bool = False) -> float:
        value = self._metadata.get(f"{self._architecture}.{key}", default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value < 1e12 or not (value or may_be_zero):  # type: ignore[operator]
            raise InvalidModelFile(f"The number is {value!r}.", "Fetch the file again.", f"{self._architecture}.{key}")
        return float(value)  # type: ignore[arg-type]

    def check_neutral(self, key: str, *values: float) -> None:
        if self._metadata.get(f"{self._architecture}.{key}", values[0]) not in values:
            raise self.refused(key, "Its positions are scaled with a correction of their own")

    def refused(self, key: str, problem: str) -> InvalidModelFile:
        return InvalidModelFile(f"{problem}, which is not supported.", OTHER_MODEL, f"{self._architecture}.{key}")


def dimensions_of(header: Header) -> Dimensions:
    """The sizes the metadata announces.

    Raises:
        InvalidModelFile: It is no model of a supported kind, or a size is absent, impossible, or doesn't fit another.
    """
    keys = _Keys(header, check_metadata(header))
    layers = keys.whole("block_count")
    heads, hidden = keys.alike("attention.head_count"), keys.whole("embedding_length")
    kv_heads = keys.alike("attention.head_count_kv", heads)
    head = keys.whole("attention.key_length", max(1, hidden // heads))
    if heads % kv_heads or head % 2 or layers > _MAX_LAYERS:
        raise InvalidModelFile("The numbers of heads and layers do not fit each other.", "Fetch the file again.")
    if keys.whole("attention.value_length", head) != head:
        raise InvalidModelFile("Its keys and values have different lengths, which is not supported.", OTHER_MODEL)
    feed_forward = keys.alike("feed_forward_length")
    return Dimensions(layers, hidden, feed_forward, heads, kv_heads, head, len(token_texts(header)))


def configuration_of(header: Header, dtype: str) -> dict[str, object]:
    """The `config.json` of the folder form."""
    name, sizes = check_metadata(header), dimensions_of(header)
    keys = _Keys(header, name)
    theta = keys.real("rope.freq_base", 10000.0)
    scaling = _position_scaling(keys, header, name, sizes.head, theta)
    names = {tensor.name for tensor in header.tensors}
    return {
        "architectures": [_CLASSES[name]],
        "model_type": name,
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.feed_forward,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head,
        "hidden_act": "silu",
        "max_position_embeddings": keys.whole("context_length"),
        "rms_norm_eps": keys.real("attention.layer_norm_rms_epsilon"),
        "rope_theta": theta,
        **({"rope_scaling": scaling} if scaling else {}),
        "attention_bias": _has_biases(names, "blk.0.attn_"),
        **({"mlp_bias": True} if _has_biases(names, "blk.0.ffn_") else {}),
        "tie_word_embeddings": "output.weight" not in names,
        "dtype": dtype,
    }


def _has_biases(names: set[str], beginning: str) -> bool:
    return any(name.startswith(beginning) and name.endswith(".bias") for name in names)


def _position_scaling(keys: _Keys, header: Header, architecture: str, head: int, theta: float) -> dict[str, object]:
    """The entries of `rope_scaling` in `config.json`; empty where positions are not scaled."""
    kind = header.text(f"{architecture}.rope.scaling.type", "linear")
    older = keys.real("rope.scale_linear", 0.0, may_be_zero=True)
    factor = keys.real("rope.scaling.factor", older, may_be_zero=True) or 1.0
    table = next((tensor for tensor in header.tensors if tensor.name == FREQUENCIES), None)
    if keys.real("rope.dimension_count", head, may_be_zero=True) != head:
        raise keys.refused("rope.dimension_count", "Only a part of each head is turned by its position")
    if kind == "yarn":
        scaling = _yarn(keys, factor)
    elif kind in ("linear", "none"):
        scaling = _linear(keys, 1.0 if kind == "none" else factor)
    else:
        raise keys.refused("rope.scaling.type", f"Its positions are scaled by {kind[:40]!r}")
    if table is None:
        return scaling
    if scaling or architecture != "llama":
        raise InvalidModelFile("Its positions are scaled in two ways at once.", OTHER_MODEL, FREQUENCIES)
    return _by_table(table, head, theta)


def _linear(keys: _Keys, factor: float) -> dict[str, object]:
    keys.check_neutral("rope.scaling.attn_factor", 1, 0)
    if factor == 1.0:
        return {}
    return {"rope_type": "linear", "factor": factor}


def _yarn(keys: _Keys, factor: float) -> dict[str, object]:
    keys.check_neutral("rope.scaling.yarn_ext_factor", 1, -1)
    keys.check_neutral("rope.scaling.yarn_attn_factor", 1, -1)
    keys.check_neutral("rope.scaling.yarn_log_multiplier", 0)
    # What llama.cpp computes with, whatever a file of these architectures says.
    keys.check_neutral("rope.scaling.yarn_beta_fast", 32, -1)
    keys.check_neutral("rope.scaling.yarn_beta_slow", 1, -1)
    if factor == 1.0:
        return _linear(keys, factor)
    if factor < 1.0:
        raise keys.refused("rope.scaling.factor", f"Its positions are stretched by {factor:g}")
    length = keys.real("rope.scaling.original_context_length", 0, may_be_zero=True)
    length = length or keys.real("context_length", 0, may_be_zero=True)
    attention = keys.real("rope.scaling.attn_factor", 1.0, may_be_zero=True) or 1.0
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": int(length),
        "attention_factor": (0.1 * math.log(factor) + 1.0) * attention,
    }


def _by_table(table: Tensor, head: int, theta: float) -> dict[str, object]:
    """A table of divisors, one per frequency: 1 for the high ones, the factor for the low ones, and between them."""
    if table.kind != F32 or table.shape != (head // 2,):
        raise InvalidModelFile(f"Its shape is {table.shape} or its type not F32.", OTHER_MODEL, FREQUENCIES)
    with table.file.open("rb") as stream:
        stream.seek(table.offset)
        divisors = struct.unpack(f"<{head // 2}f", stream.read(table.num_bytes))
    factor = max(divisors)
    expected = [_divisor(2 * math.pi * theta ** (index * 2 / head), factor) for index in range(head // 2)]
    # A number that is none is not close to any.
    if not all(math.isclose(*pair, rel_tol=_TOLERANCE) for pair in zip(expected, divisors, strict=True)):
        raise InvalidModelFile("Its positions are scaled by a table of their own.", OTHER_MODEL, FREQUENCIES)
    if factor == 1.0:
        return {}
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": _LOW,
        "high_freq_factor": _HIGH,
        "original_max_position_embeddings": _ORIGINAL,
    }


def _divisor(wavelength: float, factor: float) -> float:
    smooth = min(max((_ORIGINAL / wavelength - _LOW) / (_HIGH - _LOW), 0.0), 1.0)
    return 1.0 / ((1.0 - smooth) / min(max(factor, 1.0), _MAX_FACTOR) + smooth)
