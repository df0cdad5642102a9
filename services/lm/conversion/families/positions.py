"""How positions are scaled, from a GGUF's metadata to `rope_scaling` in `config.json` and back.

A factor without a type is linear, and `rope.scale_linear` is its older name, as llama.cpp reads them; the words are
those of `transformers.modeling_rope_utils`. Both give the same angles, as the test against llama.cpp's server shows.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any, Final

from services.lm.conversion.families.family import FOLDER_FORMS, OTHER_MODEL, Dimensions, Entry, Family
from services.lm.conversion.families.keys import Keys
from services.lm.conversion.header import Header, Tensor
from services.lm.conversion.tensor_types import F32
from services.lm.errors import InvalidModelFile

FREQUENCIES: Final = "rope_freqs.weight"
LONG: Final = "rope_factors_long.weight"
SHORT: Final = "rope_factors_short.weight"
# The only values that models with such a table were trained with: Llama 3.1 and later.
_LOW: Final = 1.0
_HIGH: Final = 4.0
_ORIGINAL: Final = 8192
_TOLERANCE: Final = 1e-4
_MAX_FACTOR: Final = 1e6


def read_positions(keys: Keys, header: Header, family: Family, sizes: Dimensions) -> dict[str, object]:
    """What `config.json` says of positions.

    Raises:
        InvalidModelFile: They are scaled in a way that is not known, or in two.
    """
    if not family.is_rotary:
        return {}
    theta = keys.real("rope.freq_base", 10000.0)
    rotary = int(keys.real("rope.dimension_count", sizes.head, may_be_zero=True))
    if rotary != sizes.head and not (family.turns_part and 0 < rotary < sizes.head and rotary % 2 == 0):
        raise keys.refused("rope.dimension_count", "Only a part of each head is turned by its position")
    scaling = _read_scaling(keys, header, family, rotary, theta)
    part = {"partial_rotary_factor": rotary / sizes.head} if family.turns_part else {}
    if family.has_long_factors:
        original = int(keys.real("rope.scaling.original_context_length", 0.0, may_be_zero=True))
        part |= {"original_max_position_embeddings": original or keys.whole("context_length")}
    if family.windows is None or family.windows.local_theta == 0:
        keys.check("rope.freq_base_swa", theta)
        return {"rope_theta": theta, **({"rope_scaling": scaling} if scaling else {}), **part}
    local = keys.real("rope.freq_base_swa", family.windows.local_theta or theta)
    full = {"rope_type": "default", "rope_theta": theta, **scaling}
    return {
        "rope_parameters": {"full_attention": full, "sliding_attention": {"rope_type": "default", "rope_theta": local}}
    }


def _read_scaling(keys: Keys, header: Header, family: Family, head: int, theta: float) -> dict[str, object]:
    """The entries of `rope_scaling`; empty where positions are not scaled."""
    tables = {tensor.name: tensor for tensor in header.tensors if tensor.name in (FREQUENCIES, LONG, SHORT)}
    if family.has_long_factors and tables.keys() & {LONG, SHORT}:
        return _by_length(keys, tables, head)
    kind = header.text(f"{family.architecture}.rope.scaling.type", "linear")
    older = keys.real("rope.scale_linear", 0.0, may_be_zero=True)
    factor = keys.real("rope.scaling.factor", older, may_be_zero=True) or 1.0
    if kind == "yarn":
        scaling = _yarn(keys, factor)
    elif kind in ("linear", "none"):
        scaling = _linear(keys, 1.0 if kind == "none" else factor)
    else:
        raise keys.refused("rope.scaling.type", f"Its positions are scaled by {kind[:40]!r}")
    if FREQUENCIES not in tables:
        return scaling
    if scaling or not family.has_frequency_table:
        raise InvalidModelFile("Its positions are scaled in two ways at once.", OTHER_MODEL, FREQUENCIES)
    return _by_table(tables[FREQUENCIES], head, theta)


def _by_length(keys: Keys, tables: dict[str, Tensor], head: int) -> dict[str, object]:
    """One table of divisors for texts of the original length, and one for longer ones."""
    if tables.keys() != {LONG, SHORT}:
        raise InvalidModelFile("Its positions are scaled in two ways at once.", OTHER_MODEL, min(tables))
    keys.check("rope.scaling.type", "longrope", "none", "linear")
    keys.check("rope.scaling.factor", 1.0, 0.0)
    return {
        "rope_type": "longrope",
        "long_factor": _numbers(tables[LONG], head // 2),
        "short_factor": _numbers(tables[SHORT], head // 2),
        "attention_factor": keys.real("rope.scaling.attn_factor", 1.0),
    }


def _linear(keys: Keys, factor: float) -> dict[str, object]:
    keys.check("rope.scaling.attn_factor", 1, 0)
    if factor == 1.0:
        return {}
    return {"rope_type": "linear", "factor": factor}


def _yarn(keys: Keys, factor: float) -> dict[str, object]:
    keys.check("rope.scaling.yarn_ext_factor", 1, -1)
    keys.check("rope.scaling.yarn_attn_factor", 1, -1)
    keys.check("rope.scaling.yarn_log_multiplier", 0)
    # What llama.cpp computes with, whatever a file of these architectures says.
    keys.check("rope.scaling.yarn_beta_fast", 32, -1)
    keys.check("rope.scaling.yarn_beta_slow", 1, -1)
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
    divisors = _numbers(table, head // 2)
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


def _numbers(table: Tensor, count: int) -> list[float]:
    if table.kind != F32 or table.shape != (count,):
        raise InvalidModelFile(f"Its shape is {table.shape} or its type not F32.", OTHER_MODEL, table.name)
    with table.file.open("rb") as stream:
        stream.seek(table.offset)
        return list(struct.unpack(f"<{count}f", stream.read(table.num_bytes)))


def _divisor(
    wavelength: float, factor: float, low: float = _LOW, high: float = _HIGH, original: float = _ORIGINAL
) -> float:
    smooth = min(max((original / wavelength - low) / (high - low), 0.0), 1.0)
    return 1.0 / ((1.0 - smooth) / min(max(factor, 1.0), _MAX_FACTOR) + smooth)


def position_entries(config: Any, family: Family, sizes: Dimensions) -> list[Entry]:
    """What the metadata say of the positions of a configuration that transformers has completed; tables say the rest.

    Raises:
        InvalidModelFile: GGUF, or this architecture in llama.cpp, has no such positions.
    """
    if not family.is_rotary:
        return []
    rope = full_rope(config)
    theta, part = float(rope["rope_theta"]), float(rope.get("partial_rotary_factor") or 1.0)
    if part != 1.0 and not family.turns_part:
        raise _not_in_gguf("Only a part of each head is turned by its position")
    entries: list[Entry] = [
        ("rope.dimension_count", int(sizes.head * part), "UINT32"),
        ("rope.freq_base", theta, "FLOAT32"),
        *_scaling_entries(config, rope, family),
        *_local_entries(config, family, theta),
    ]
    if family.has_long_factors:
        length = int(config.original_max_position_embeddings)
        entries.append(("rope.scaling.original_context_length", length, "UINT32"))
    return [(f"{family.architecture}.{key}", value, kind) for key, value, kind in entries]


def full_rope(config: Any) -> Mapping[str, Any]:
    """The positions of the layers that see all tokens; of a class that turns no heads the usual ones."""
    rope: Mapping[str, Any] = getattr(config, "rope_parameters", None) or {"rope_type": "default"}
    return rope.get("full_attention", rope)  # type: ignore[no-any-return]


def _local_entries(config: Any, family: Family, theta: float) -> list[Entry]:
    """Of the layers with a window, where these turn otherwise."""
    local = config.rope_parameters.get("sliding_attention")
    if local is None or family.windows is None or "sliding_attention" not in config.layer_types:
        return []
    base = float(local["rope_theta"])
    if local["rope_type"] != "default" or (family.windows.local_theta is None and base != theta):
        raise _not_in_gguf("The positions of its layers with a window are scaled")
    return [("rope.freq_base_swa", base, "FLOAT32")] if base != (family.windows.local_theta or theta) else []


def _scaling_entries(config: Any, rope: Mapping[str, Any], family: Family) -> list[Entry]:
    kind, factor = rope["rope_type"], rope.get("factor")
    if kind == "default" or (kind == "llama3" and family.has_frequency_table):
        return []
    if kind == "linear":
        return [("rope.scaling.type", "linear", "STRING"), ("rope.scaling.factor", float(factor or 1), "FLOAT32")]
    if kind == "yarn":
        return _yarn_entries(rope)
    if kind == "longrope" and family.has_long_factors:
        original = rope["original_max_position_embeddings"]
        factor = float(factor or config.max_position_embeddings / original)
        usual = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
        return [("rope.scaling.attn_factor", float(rope.get("attention_factor") or usual), "FLOAT32")]
    raise _not_in_gguf(f"Its positions are scaled by {str(kind)[:40]!r}")


def _yarn_entries(rope: Mapping[str, Any]) -> list[Entry]:
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
        ("rope.scaling.type", "yarn", "STRING"),
        ("rope.scaling.factor", factor, "FLOAT32"),
        ("rope.scaling.original_context_length", int(rope["original_max_position_embeddings"]), "UINT32"),
    ]
    if not math.isclose(attention, usual, rel_tol=1e-6):
        entries.append(("rope.scaling.attn_factor", attention / usual, "FLOAT32"))
    return entries


def position_tables(config: Any, family: Family, head: int) -> dict[str, list[float]]:
    """The tables of divisors that its file gets, by name."""
    rope = full_rope(config)
    if rope["rope_type"] == "longrope":
        return {LONG: list(rope["long_factor"]), SHORT: list(rope["short_factor"])}
    if rope["rope_type"] != "llama3" or not family.has_frequency_table:
        return {}
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    original, theta = float(rope["original_max_position_embeddings"]), float(rope["rope_theta"])
    waves = [2 * math.pi * theta ** (index * 2 / head) for index in range(head // 2)]
    return {FREQUENCIES: [_divisor(wave, float(rope["factor"]), low, high, original) for wave in waves]}


def _not_in_gguf(problem: str) -> InvalidModelFile:
    return InvalidModelFile(f"{problem}, which llama.cpp cannot express.", FOLDER_FORMS, "config.json")
