"""One description per architecture, used in both directions; here is what a GGUF file is written from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
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
        values: Makes the numbers that GGUF stores from those of the folder, both float32.
        is_matrix: It may be quantised.
    """

    name: str
    shape: tuple[int, ...]
    source: str
    values: Callable[[NDArray[Any]], NDArray[Any]]
    is_matrix: bool


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


# The imports below stay out of the reading of headers, which runs within narrow limits of time and memory.


def plan_gguf(folder: Path) -> GgufPlan:
    """What a GGUF file of the model in `folder` (Hugging Face form, not quantised) consists of; no weights are read.

    Raises:
        InvalidModelFile: The folder is damaged, or GGUF cannot express what it computes; what and the other forms that
            can be had are named.
    """
    from services.lm.conversion.families.plan import plan_model

    return plan_model(folder)


def rename_lora(folder: Path, adapter: Path) -> GgufPlan:
    """The same for the LoRA in `adapter`, made for the model in `folder`; sources are names in the adapter's file.

    Raises:
        InvalidModelFile: Folder or adapter are damaged, or GGUF cannot express the adapter.
        AdapterMismatch: The adapter was made for another model.
    """
    from services.lm.conversion.families.lora import plan_adapter

    return plan_adapter(folder, adapter)
