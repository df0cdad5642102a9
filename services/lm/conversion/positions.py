"""How a GGUF scales its positions, in the words of the folder form.

Source: what llama.cpp reads (a factor without a type is linear; `rope.scale_linear` is its older name), and
`transformers.modeling_rope_utils`. Both give the same angles, as the test against llama.cpp's server shows.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from services.lm.conversion.header import Header, Tensor
from services.lm.conversion.metadata import OTHER_MODEL
from services.lm.conversion.tensor_types import F32
from services.lm.errors import InvalidModelFile

FREQUENCIES: Final = "rope_freqs.weight"
# The only values that models with such a table were trained with: Llama 3.1 and later.
_LOW: Final = 1.0
_HIGH: Final = 4.0
_ORIGINAL: Final = 8192
_TOLERANCE: Final = 1e-4
_MAX_FACTOR: Final = 1e6


def position_scaling(header: Header, architecture: str, head: int, theta: float) -> dict[str, object]:
    """The entries of `rope_scaling` in `config.json`; empty where positions are not scaled.

    Raises:
        InvalidModelFile: They are scaled in a way that has no equivalent.
    """
    keys = _Numbers(header, f"{architecture}.rope")
    kind = header.text(f"{architecture}.rope.scaling.type", "linear")
    factor = keys.real("scaling.factor", keys.real("scale_linear", 0.0)) or 1.0
    table = next((tensor for tensor in header.tensors if tensor.name == FREQUENCIES), None)
    if keys.real("dimension_count", head) != head:
        raise keys.refused("dimension_count", "Only a part of each head is turned by its position")
    if kind == "yarn":
        scaling = _yarn(keys, header, architecture, factor)
    elif kind in ("linear", "none"):
        scaling = _linear(keys, 1.0 if kind == "none" else factor)
    else:
        raise keys.refused("scaling.type", f"Its positions are scaled by {kind[:40]!r}")
    if table is None:
        return scaling
    if scaling or architecture != "llama":
        raise InvalidModelFile("Its positions are scaled in two ways at once.", OTHER_MODEL, FREQUENCIES)
    return _by_table(table, head, theta)


class _Numbers:
    def __init__(self, header: Header, prefix: str) -> None:
        self._metadata = header.metadata
        self._prefix = prefix

    def real(self, key: str, default: float) -> float:
        value = self._metadata.get(f"{self._prefix}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
            raise InvalidModelFile(f"The number is {value!r}.", "Fetch the file again.", f"{self._prefix}.{key}")
        return float(value)

    def check_neutral(self, key: str, *values: float) -> None:
        if self._metadata.get(f"{self._prefix}.{key}", values[0]) not in values:
            raise self.refused(key, "Its positions are scaled with a correction of their own")

    def refused(self, key: str, problem: str) -> InvalidModelFile:
        return InvalidModelFile(f"{problem}, which is not supported.", OTHER_MODEL, f"{self._prefix}.{key}")


def _linear(keys: _Numbers, factor: float) -> dict[str, object]:
    keys.check_neutral("scaling.attn_factor", 1, 0)
    if factor == 1.0:
        return {}
    return {"rope_type": "linear", "factor": factor}


def _yarn(keys: _Numbers, header: Header, architecture: str, factor: float) -> dict[str, object]:
    keys.check_neutral("scaling.yarn_ext_factor", 1, -1)
    keys.check_neutral("scaling.yarn_attn_factor", 1, -1)
    keys.check_neutral("scaling.yarn_log_multiplier", 0)
    # What llama.cpp computes with, whatever a file of these architectures says.
    keys.check_neutral("scaling.yarn_beta_fast", 32, -1)
    keys.check_neutral("scaling.yarn_beta_slow", 1, -1)
    if factor == 1.0:
        return _linear(keys, factor)
    if factor < 1.0:
        raise keys.refused("scaling.factor", f"Its positions are stretched by {factor:g}")
    length = keys.real("scaling.original_context_length", 0) or header.metadata.get(f"{architecture}.context_length", 0)
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": int(length) if isinstance(length, int | float) else 0,
        "attention_factor": (0.1 * math.log(factor) + 1.0) * (keys.real("scaling.attn_factor", 1.0) or 1.0),
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
