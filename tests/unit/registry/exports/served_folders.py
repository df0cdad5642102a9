"""Writes small folders in forms that other programs serve."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np

MODEL_LAYER = "application/vnd.ollama.image.model"


def write_gguf(path: Path, *, is_adapter: bool = False) -> Path:
    """Write a GGUF file with one tensor of 8 numbers and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter" if is_adapter else "model")
    if is_adapter:
        writer.add_string("adapter.type", "lora")
    else:
        writer.add_context_length(512)
    writer.add_tensor("token_embd.weight", np.zeros((2, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_store(folder: Path, model: Path) -> Path:
    """Write an Ollama store with one manifest over `model` and return it."""
    (folder / "blobs").mkdir(parents=True)

    def blob(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (folder / "blobs" / f"sha256-{digest}").write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    config = blob(json.dumps({"model_format": "gguf"}).encode(), "application/vnd.docker.container.image.v1+json")
    manifest = {"schemaVersion": 2, "config": config, "layers": [blob(model.read_bytes(), MODEL_LAYER)]}
    place = folder / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "latest"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(manifest))
    return folder
