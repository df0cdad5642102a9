"""What a GGUF file is, told from its checked header alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from services.lm.conversion.architecture import configuration_of, targets_of
from services.lm.conversion.header import read_header
from services.lm.conversion.tensor_types import type_name


def inspect_gguf(path: Path) -> dict[str, Any]:
    """Facts for a person and for the limits of the conversion; only for a file that can be converted.

    Raises:
        InvalidModelFile: The file is damaged, hostile or of a kind that can't be converted.
    """
    header = read_header(path)
    config = configuration_of(header, "")
    targets_of(header)
    kinds = Counter(tensor.kind for tensor in header.tensors)
    return {
        "architecture": config["model_type"],
        "name": header.text("general.name"),
        "num_tensors": len(header.tensors),
        "num_parameters": sum(tensor.num_elements for tensor in header.tensors),
        "largest_tensor_elements": max(tensor.num_elements for tensor in header.tensors),
        "file_bytes": header.file_bytes,
        "quantization": type_name(kinds.most_common(1)[0][0]) if len(kinds) == 1 else _quantisation(kinds),
        "max_positions": config["max_position_embeddings"],
        "tokenizer": f"{header.text('tokenizer.ggml.model')}/{header.text('tokenizer.ggml.pre', 'gpt-2')}",
        "chat_template": bool(header.text("tokenizer.chat_template")),
        "license": header.text("general.license")[:200],
    }


def _quantisation(kinds: Counter[int]) -> str:
    """The commonest type of a matrix: norms are float32 in every file."""
    return type_name(next(kind for kind, _ in kinds.most_common() if kind != 0))
