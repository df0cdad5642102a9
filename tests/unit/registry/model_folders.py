"""Writes small model folders byte by byte, without the libraries that read them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 512}
TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"},
}
TENSORS = {"model.embed_tokens.weight": (16, 4), "lm_head.weight": (16, 4)}
NUM_PARAMETERS = 128
# The answered prompt begins with the prompt, as training needs it.
ROLES = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]] | None = None) -> None:
    """Write float32 zeros."""
    header, end = {}, 0
    for name, shape in (shapes or TENSORS).items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    write_raw_safetensors(path, json.dumps(header).encode(), bytes(end))


def write_raw_safetensors(path: Path, header: bytes, weights: bytes) -> None:
    """Write a header as it is."""
    path.write_bytes(len(header).to_bytes(8, "little") + header + weights)


def write_model(folder: Path, *, template: str = "{{ messages }}", **config: Any) -> Path:
    """Write a folder in Hugging Face form and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, "eos_token": "b"}))
    (folder / "README.md").write_text("# A model\n")
    write_safetensors(folder / "model.safetensors")
    return folder


def write_adapter(folder: Path, **config: Any) -> Path:
    """Write a folder in PEFT's form and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, **config}))
    write_safetensors(folder / "adapter_model.safetensors", {"a.lora_A.weight": (2, 4), "a.lora_B.weight": (4, 2)})
    return folder
