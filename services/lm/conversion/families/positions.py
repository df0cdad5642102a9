"""How positions are scaled, from a GGUF's metadata to `rope_scaling` in `config.json` and back.

A factor without a type is linear, and `rope.scale_linear` is its older name, as llama.cpp reads them; the words are
those of `transformers.modeling_rope_utils`. Both give the same angles, as the test against llama.cpp's server shows.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any, Final

from services.lm.conversion.families.family import FOLDER_FORMS, OTHER_MODEL, Entry, Family
from services.lm.conversion.families.keys import Keys
from services.lm.conversion.header import Header, Tensor
from services.lm.conversion.tensor_types import F32
from services.lm.errors import InvalidModelFile

FREQUENCIES: Final = "rope_freqs.weight"
# The only values that models with such a table were trained with: Llama 3.1 and later.
_LOW: Final = 1.0
_HIGH: Final = 4.0
_ORIGINAL: Final = 8192
_TOLERANCE: Final = 1e-4
_MAX_FACTOR: Final = 1e6


def read_scaling(keys: Keys, header: Header, family: Family, head: int, theta: float) -> dict[str, object]:
    """The entries of `rope_scaling` in `config.json`; empty where positions are not scaled."""
    kind = header.text(f"{family.architecture}.rope.scaling.type", "linear")
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
    if scaling or not family.has_frequency_table:
        raise InvalidModelFile("Its positions are scaled in two ways at once.", OTHER_MODEL, FREQUENCIES)
    return _by_table(table, head, theta)


def _linear(keys: Keys, factor: float) -> dict[str, object]:
    keys.check_neutral("rope.scaling.attn_factor", 1, 0)
    if factor == 1.0:
        return {}
    return {"rope_type": "linear", "factor": factor}


def _yarn(keys: Keys, factor: float) -> dict[str, object]:
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


def _divisor(
    wavelength: float, factor: float, low: float = _LOW, high: float = _HIGH, original: float = _ORIGINAL
) -> float:
    smooth = min(max((original / wavelength - low) / (high - low), 0.0), 1.0)
    return 1.0 / ((1.0 - smooth) / min(max(factor, 1.0), _MAX_FACTOR) + smooth)


def scaling_entries(rope: Mapping[str, Any], family: Family) -> list[Entry]:
    """What the metadata say of `rope_parameters`, as transformers completes them; a table says the rest.

    Raises:
        InvalidModelFile: GGUF, or this architecture in llama.cpp, has no such positions.
    """
    prefix, kind = f"{family.architecture}.rope.scaling", rope["rope_type"]
    if kind == "default" or (kind == "llama3" and family.has_frequency_table):
        return []
    if kind == "linear":
        return [(f"{prefix}.type", "linear", "STRING"), (f"{prefix}.factor", float(rope["factor"]), "FLOAT32")]
    if kind == "yarn":
        return _yarn_entries(rope, prefix)
    raise _not_in_gguf(f"Its positions are scaled by {str(kind)[:40]!r}")


def _yarn_entries(rope: Mapping[str, Any], prefix: str) -> list[Entry]:
    # llama.cpp computes with these, whatever a file says.
    if (rope.get("beta_fast") or 32, rope.get("beta_slow") or 1, rope.get("truncate", True)) != (32, 1, True):
        raise _not_in_gguf("Its yarn has bounds of its own")
    factor = float(rope["factor"] or 0)
    if factor <= 1:
        raise _not_in_gguf(f"Its positions are stretched by {factor:g}")
    usual = 0.1 * math.log(factor) + 1
    attention = rope.get("attention_factor") or usual
    scale, scale_all = rope.get("mscale"), rope.get("mscale_all_dim")
    if not rope.get("attention_factor") and scale and scale_all:
        attention = (0.1 * scale * math.log(factor) + 1) / (0.1 * scale_all * math.log(factor) + 1)
    entries: list[Entry] = [
        (f"{prefix}.type", "yarn", "STRING"),
        (f"{prefix}.factor", factor, "FLOAT32"),
        (f"{prefix}.original_context_length", int(rope["original_max_position_embeddings"]), "UINT32"),
    ]
    if not math.isclose(attention, usual, rel_tol=1e-6):
        entries.append((f"{prefix}.attn_factor", attention / usual, "FLOAT32"))
    return entries


def frequency_table(rope: Mapping[str, Any], head: int) -> list[float]:
    """The divisors of a Llama 3.1's frequencies; empty where its positions are scaled in another way."""
    if rope["rope_type"] != "llama3":
        return []
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    original, theta = float(rope["original_max_position_embeddings"]), float(rope["rope_theta"])
    waves = [2 * math.pi * theta ** (index * 2 / head) for index in range(head // 2)]
    return [_divisor(wave, float(rope["factor"]), low, high, original) for wave in waves]


def _not_in_gguf(problem: str) -> InvalidModelFile:
    return InvalidModelFile(f"{problem}, which llama.cpp cannot express.", FOLDER_FORMS, "config.json")
