"""A base model and its LoRA adapter made into one folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel

from services.lm.conversion.saving import companion_files, stored_tensors, write_model
from services.lm.errors import InvalidModelFile
from services.lm.folders import check_model_folder
from services.lm.folders.publish import file_digests, published
from services.lm.loading import load


def merge_folders(base: Path, adapter: Path, out: Path) -> dict[str, Any]:
    """Write `base` with `adapter` added into its weights to the new folder `out`, in the base's number types.

    Raises:
        InvalidModelFile: A folder is damaged or could run code, or the base is quantized.
        AdapterMismatch: The adapter was made for another model.
        LmError: `out` exists already.
    """
    if check_model_folder(base).get("quantization_config"):
        raise InvalidModelFile("The base is quantized.", "Merge into the original weights.", "config.json")
    merged = load(base, dtype="float32", adapter=adapter).model
    tensors = _in_stored_form(merged, base)
    with published(out) as folder:
        write_model(folder, tensors, merged, companion_files(base))
        return {"files": file_digests(folder), "num_parameters": sum(tensor.numel() for tensor in tensors.values())}


def _in_stored_form(model: PreTrainedModel, base: Path) -> dict[str, Tensor]:
    """The weights under the names and in the types of the base's files: a mixture's experts one by one, say.

    What the files hold and the model has no use for, as layers that guess ahead, stays as it is.
    """
    stored = {name: (file, dtype) for file in sorted(base.glob("*.safetensors")) for name, dtype in _dtypes(file)}
    (usual, _), *_ = Counter(dtype for _, dtype in stored.values()).most_common(1)
    state = dict(model.state_dict())
    tensors: dict[str, Tensor] = {
        name: tensor.to(stored[name][1] if name in stored else usual).contiguous()
        for name, tensor in stored_tensors(model).items()
    }
    if sum(name in stored for name in tensors) < len(tensors) - 1:
        # Other names than these files have: what else they hold cannot be told from the same weights.
        return tensors
    unused = {name: file for name, (file, _) in stored.items() if name not in tensors and name not in state}
    for name, file in unused.items():
        with safe_open(file, framework="pt") as content:
            tensors[name] = content.get_tensor(name)
    return tensors


def _dtypes(file: Path) -> list[tuple[str, torch.dtype]]:
    with safe_open(file, framework="pt") as tensors:
        return [(name, tensors.get_tensor(name).dtype) for name in tensors.keys()]  # noqa: SIM118
