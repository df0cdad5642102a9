"""A base model and its LoRA adapter made into one folder."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion
from transformers.modeling_utils import remove_tied_weights_from_state_dict

from services.lm.errors import InvalidModelFile
from services.lm.folders import check_model_folder, read_json
from services.lm.folders.publish import file_digests, published
from services.lm.loading import load

# The base's tokenizer and templates, as they are.
_COPIED: Final = (
    *(
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "special_tokens_map.json",
    ),
    *("added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json"),
)
_TEMPLATES: Final = "additional_chat_templates"
_TIE: Final = "tie_word_embeddings"


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
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        _write_config(base, folder, merged)
        for name in _COPIED:
            if (base / name).is_file():
                shutil.copyfile(base / name, folder / name)
        if (base / _TEMPLATES).is_dir():
            shutil.copytree(base / _TEMPLATES, folder / _TEMPLATES)
        return {"files": file_digests(folder), "num_parameters": sum(tensor.numel() for tensor in tensors.values())}


def _in_stored_form(model: PreTrainedModel, base: Path) -> dict[str, Tensor]:
    """The weights under the names and in the types of the base's files: a mixture's experts one by one, say.

    What the files hold and the model has no use for, as layers that guess ahead, stays as it is.
    """
    stored = {name: (file, dtype) for file in sorted(base.glob("*.safetensors")) for name, dtype in _dtypes(file)}
    (usual, _), *_ = Counter(dtype for _, dtype in stored.values()).most_common(1)
    state = dict(model.state_dict())
    untied = remove_tied_weights_from_state_dict(dict(state), model)
    tensors: dict[str, Tensor] = {
        name: tensor.to(stored[name][1] if name in stored else usual).contiguous()
        for name, tensor in revert_weight_conversion(model, untied).items()
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


def _write_config(base: Path, folder: Path, model: PreTrainedModel) -> None:
    """The base's configuration, corrected where it says otherwise than the tensors whether the head is tied."""
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    read = AutoConfig.from_pretrained(base, trust_remote_code=False, local_files_only=True)
    is_tied = head is not None and head.weight is table.weight
    if head is None or is_tied == read.get_text_config().tie_word_embeddings:
        shutil.copyfile(base / "config.json", folder / "config.json")
        return
    config = read_json(base / "config.json")
    for part in (config, *(value for value in config.values() if isinstance(value, dict) and _TIE in value)):
        part[_TIE] = is_tied
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
