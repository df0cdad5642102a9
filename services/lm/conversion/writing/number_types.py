"""How the numbers of a GGUF file are stored: by name as llama.cpp's own quantiser has them, tensor by tensor."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
from gguf import GGML_QUANT_SIZES, LlamaFileType
from gguf import GGMLQuantizationType as Kind
from gguf.quants import quantize
from numpy.typing import NDArray

from services.lm.errors import InvalidModelFile

Bytes = NDArray[np.uint8]

_K_TYPES: Final = frozenset({Kind.Q4_K, Kind.Q5_K, Kind.Q6_K})
# So many numbers at once stay in the processor's cache.
_CACHED_NUMBERS: Final = 1 << 16
# The scales of all quantised types are float16.
_LARGEST: Final = {Kind.F32: float(np.finfo(np.float32).max), Kind.BF16: 3.3895e38}
_LARGEST_HALF: Final = 65504.0
# What takes the place of a type whose blocks the rows do not fill.
_SMALLER_BLOCKS: Final = {
    Kind.Q4_K: Kind.Q5_0,
    Kind.Q5_K: Kind.Q5_1,
    Kind.Q6_K: Kind.Q8_0,
    Kind.TQ1_0: Kind.Q4_0,
    Kind.TQ2_0: Kind.Q4_0,
}
_PART: Final = re.compile(r"blk\.(\d+)\.(attn_v|attn_qkv|ffn_down)(?:_exps|_shexp)?\.weight")
_EMBEDDING: Final = "token_embd.weight"
_HEAD: Final = "output.weight"


class Described(Protocol):
    """A tensor as a plan describes it."""

    @property
    def name(self) -> str:
        """Its name in GGUF."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost size first."""

    @property
    def is_matrix(self) -> bool:
        """It may be quantised."""


@dataclass(frozen=True)
class NumberType:
    """What a file of this name holds.

    Attributes:
        usual: The type of a matrix.
        file_type: Its number in the metadata.
        head: The type of the matrix that gives the next token's numbers.
        embedding: That of a separate table of embeddings, where it is not the usual one.
        important: A better type for the values and outputs of some layers, which cost most when they err.
        is_small: Only the first layers get it.
        joined: The type of query, key and value in one matrix.
    """

    usual: Kind
    file_type: LlamaFileType
    head: Kind
    embedding: Kind | None = None
    important: Kind | None = None
    is_small: bool = False
    joined: Kind | None = None


def _plain(kind: Kind, file_type: LlamaFileType) -> NumberType:
    return NumberType(kind, file_type, kind)


NUMBER_TYPES: Final[Mapping[str, NumberType]] = {
    "F32": _plain(Kind.F32, LlamaFileType.ALL_F32),
    "F16": _plain(Kind.F16, LlamaFileType.MOSTLY_F16),
    "BF16": _plain(Kind.BF16, LlamaFileType.MOSTLY_BF16),
    "Q8_0": _plain(Kind.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "Q6_K": _plain(Kind.Q6_K, LlamaFileType.MOSTLY_Q6_K),
    "Q5_K_M": NumberType(Kind.Q5_K, LlamaFileType.MOSTLY_Q5_K_M, Kind.Q6_K, important=Kind.Q6_K, joined=Kind.Q6_K),
    "Q5_K_S": NumberType(Kind.Q5_K, LlamaFileType.MOSTLY_Q5_K_S, Kind.Q6_K),
    "Q5_1": NumberType(Kind.Q5_1, LlamaFileType.MOSTLY_Q5_1, Kind.Q6_K),
    "Q5_0": NumberType(Kind.Q5_0, LlamaFileType.MOSTLY_Q5_0, Kind.Q6_K),
    "Q4_K_M": NumberType(Kind.Q4_K, LlamaFileType.MOSTLY_Q4_K_M, Kind.Q6_K, important=Kind.Q6_K, joined=Kind.Q5_K),
    "Q4_K_S": NumberType(Kind.Q4_K, LlamaFileType.MOSTLY_Q4_K_S, Kind.Q6_K, important=Kind.Q5_K, is_small=True),
    "Q4_1": NumberType(Kind.Q4_1, LlamaFileType.MOSTLY_Q4_1, Kind.Q6_K),
    "Q4_0": NumberType(Kind.Q4_0, LlamaFileType.MOSTLY_Q4_0, Kind.Q6_K),
    "TQ2_0": NumberType(Kind.TQ2_0, LlamaFileType.MOSTLY_TQ2_0, Kind.Q6_K, embedding=Kind.Q4_K),
    "TQ1_0": NumberType(Kind.TQ1_0, LlamaFileType.MOSTLY_TQ1_0, Kind.Q6_K, embedding=Kind.Q4_K),
}


def number_type(name: str) -> NumberType:
    """What a GGUF file of this number type holds; capitals do not count.

    Raises:
        InvalidModelFile: There is none of this name, or it cannot be written.
    """
    if name.upper() not in NUMBER_TYPES:
        raise InvalidModelFile(
            f"Numbers cannot be written as {name[:40]!r}.", f"Choose one of {', '.join(NUMBER_TYPES)}."
        )
    return NUMBER_TYPES[name.upper()]


def tensor_kinds(tensors: Sequence[Described], number: NumberType) -> list[Kind]:
    """The type of each tensor, as llama.cpp mixes them."""
    layers = len({tensor.name.split(".")[1] for tensor in tensors if tensor.name.startswith("blk.")})
    has_head = any(tensor.name == _HEAD for tensor in tensors)
    return [
        _fitting(_wanted(tensor.name, number, layers, has_head=has_head), tensor.shape[-1])
        if tensor.is_matrix
        else Kind.F32
        for tensor in tensors
    ]


def _wanted(name: str, number: NumberType, layers: int, *, has_head: bool) -> Kind:
    if name == _HEAD or (name == _EMBEDDING and not has_head):
        return number.head
    if name == _EMBEDDING:
        return number.embedding or number.usual
    match = _PART.fullmatch(name)
    if match is None:
        return number.usual
    if match[2] == "attn_qkv":
        return number.joined or number.usual
    is_important = _is_early(match[2], int(match[1]), layers) if number.is_small else _is_weighty(int(match[1]), layers)
    return number.important if number.important and is_important else number.usual


def _is_early(part: str, layer: int, layers: int) -> bool:
    return layer < (4 if part == "attn_v" else layers // 8)


def _is_weighty(layer: int, layers: int) -> bool:
    """The first eighth of the layers, the last one, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _fitting(kind: Kind, row: int) -> Kind:
    if row % GGML_QUANT_SIZES[kind][0]:
        kind = _SMALLER_BLOCKS.get(kind, kind)
    return Kind.F16 if row % GGML_QUANT_SIZES[kind][0] else kind


def stored_bytes(kind: Kind, shape: tuple[int, ...]) -> int:
    """Bytes that a tensor of this type and shape takes."""
    block, size = GGML_QUANT_SIZES[kind]
    num_bytes: int = math.prod(shape) // block * size
    return num_bytes


def encode(values: NDArray[Any], kind: Kind, place: str) -> memoryview:
    """The stored form of float32 rows.

    Raises:
        InvalidModelFile: A number is infinite, none, or too large for the type; `place` names the tensor.
    """
    values = values.reshape(-1, values.shape[-1])
    largest = _LARGEST.get(kind, _LARGEST_HALF)
    if not (-largest <= values.min() and values.max() <= largest):
        raise InvalidModelFile(
            f"It holds numbers that are infinite, none, or too large for {kind.name}.", "Choose BF16 or F32.", place
        )
    encoder, step = _encoder(kind), max(1, _CACHED_NUMBERS // max(1, math.prod(values.shape[1:])))
    # Even a large tensor's steps between float32 and its stored form take little memory.
    starts = range(0, len(values), step)
    parts = [encoder(np.ascontiguousarray(values[start : start + step], dtype=np.float32)) for start in starts]
    return np.concatenate(parts).data.cast("B")


def _encoder(kind: Kind) -> Callable[[NDArray[Any]], NDArray[Any]]:
    if kind is Kind.BF16:
        return to_bfloat16
    if kind in _K_TYPES:
        # It brings the compiler, which nothing else here needs.
        from services.lm.conversion.writing.k_quants import ENCODERS

        return ENCODERS[kind]
    return partial(quantize, qtype=kind)


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to nearest even: exact for numbers that were bfloat16 before."""
    bits = values.view(np.uint32)
    rounded = (bits >> np.uint32(16)) & np.uint32(1)
    rounded += np.uint32(0x7FFF)
    rounded += bits
    rounded >>= np.uint32(16)
    return rounded.astype(np.uint16)
