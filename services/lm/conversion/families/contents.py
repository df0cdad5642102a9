"""What a GGUF file consists of before its numbers are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.lm.conversion.families.family import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class GgufTensor:
    """One tensor that a GGUF file gets.

    Attributes:
        name: Its name in GGUF, such as `blk.0.attn_q.weight`.
        shape: Its shape, outermost size first, in the folder and in GGUF alike.
        source: Its name in the folder's safetensors.
        values: Makes the numbers that GGUF stores from those of the folder, both float32; `unchanged` for the same.
        is_matrix: It may be quantised.
        unit: So many rows `values` puts in order together; 0 for all.
    """

    name: str
    shape: tuple[int, ...]
    source: str
    values: Callable[[NDArray[Any]], NDArray[Any]]
    is_matrix: bool
    unit: int = 0


def unchanged(values: NDArray[Any]) -> NDArray[Any]:
    """The numbers as the folder has them: who writes may take a few rows at a time."""
    return values


@dataclass(frozen=True)
class GgufPlan:
    """All that a GGUF file says, except how its numbers are stored.

    Attributes:
        metadata: Key, value and the name of its type in GGUF; ARRAY takes the type of its items: STRING, INT32 or
            FLOAT32. `general.file_type` and `general.quantization_version` belong to who stores the numbers.
        tensors: In the order of the file.
        extra: Tensors that no folder has, by name: float32, never quantised.
        notes: Where the file's answers may differ from the folder's, a sentence each, for the person who asked.
    """

    metadata: list[Entry]
    tensors: list[GgufTensor]
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
