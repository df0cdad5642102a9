"""A base model and its LoRA adapter made into one folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open
from safetensors.torch import save_file

from services.lm.conversion.publish import file_digests, published
from services.lm.folders import check_model_folder
from services.lm.loading import load

_COPIED: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def merge_folders(base: Path, adapter: Path, out: Path) -> dict[str, Any]:
    """Write `base` with `adapter` added into its weights to the new folder `out`, in the base's number type.

    Raises:
        InvalidModelFile: A folder is damaged or could run code.
        AdapterMismatch: The adapter was made for another model.
        LmError: `out` exists already.
    """
    check_model_folder(base)
    dtypes = _stored_dtypes(base)
    merged = load(base, dtype="float32", adapter=adapter).model.state_dict()
    with published(out) as folder:
        tensors = {name: merged[name].to(dtype).contiguous() for name, dtype in dtypes.items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        for name in _COPIED:
            if (base / name).is_file():
                shutil.copyfile(base / name, folder / name)
        return {"files": file_digests(folder), "num_parameters": sum(tensor.numel() for tensor in tensors.values())}


def _stored_dtypes(folder: Path) -> dict[str, Any]:
    """The type of each stored tensor; a tied head is stored once, and so it stays."""
    dtypes = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                dtypes[name] = tensors.get_tensor(name).dtype
    return dtypes
