"""What a GGUF file is, told from its checked header alone."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from services.lm.conversion.architecture import configuration_of
from services.lm.conversion.layout import layout_of
from services.lm.conversion.parts import read_model
from services.lm.conversion.tensor_types import type_name
from services.lm.conversion.vocabulary.templates import chat_templates
from services.lm.conversion.vocabulary.tokens import check_vocabulary, tokenizer_kind


def inspect_gguf(path: Path) -> dict[str, Any]:
    """Facts for a person and for the limits of the conversion; only for a file that can be converted.

    Raises:
        InvalidModelFile: The file is damaged, hostile or of a kind that can't be converted.
    """
    header = read_model(path)
    config = configuration_of(header, "")
    layout = layout_of(header)
    check_vocabulary(header)
    templates = chat_templates(header)
    kinds = Counter(tensor.kind for tensor in header.tensors)
    return {
        "architecture": config["model_type"],
        "name": header.text("general.name"),
        "num_tensors": len(header.tensors),
        "num_parameters": sum(math.prod(target.shape) for target in layout.targets.values())
        + sum(math.prod(shape) for shape in layout.zeros.values()),
        "largest_tensor_elements": max(tensor.num_elements for tensor in header.tensors),
        "files": [file.name for file in header.files],
        "file_bytes": header.file_bytes,
        "quantization": type_name(kinds.most_common(1)[0][0]) if len(kinds) == 1 else _quantisation(kinds),
        "max_positions": config["max_position_embeddings"],
        "tokenizer": tokenizer_kind(header),
        "chat_template": bool(templates),
        "chat_templates": sorted(templates),
        "license": header.text("general.license")[:200],
    }


def _quantisation(kinds: Counter[int]) -> str:
    """The commonest type of a matrix: norms are float32 in every file."""
    return type_name(next(kind for kind, _ in kinds.most_common() if kind != 0))
