"""Tiny random models in Hugging Face form, and the GGUF files that their plans announce."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.convert_slow_tokenizer import generate_merges

from services.lm.conversion.families import GgufPlan
from services.lm.conversion.saving import stored_tensors
from services.lm.tiny import write_tiny_model

SIZES = {
    "vocab_size": 260,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "dtype": "float32",
}


def write_folder(folder: Path, model_type: str, **settings: Any) -> torch.nn.Module:
    """A random model of this type, with a byte-level tokenizer of 259 tokens; it is returned."""
    write_tiny_model(folder)
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **SIZES | settings)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    save_file(stored_tensors(model), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    return model


_PIECES = ("th", "the", "▁t", "▁th", "▁the", "me", "re", "is", "▁▁", "es", "the▁", "en", "end", "▁▁▁", "\n\n")
_SPECIAL = ("<unk>", "<s>", "</s>", "<|user|>", "<|endoftext|>")
_LETTERS = "▁abcdefghijklmnopqrstuvwxyz'1234\n"
# What Gemma looks for in a text, its blanks written as ▁, before it joins anything.
_USER_DEFINED = ("▁▁", "▁▁▁", "\n\n")
# Rows of embeddings for the vocabulary below, and one that has no token.
SCORED = len(_SPECIAL) + 256 + len(_LETTERS) + len(_PIECES) + 1


def write_sentencepiece(folder: Path, blank: str, *, strips: bool = False) -> Tokenizer:
    """Give the folder a tokenizer as transformers makes it of a SentencePiece model, which is returned.

    `blank` says where one is put before a word: "always" (also behind special tokens), "first", or "never" as in Gemma.
    """
    tokens = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *_PIECES, *_LETTERS]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    scores = {token: -float(index) for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary, generate_merges(vocabulary, scores), unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    replaced = [normalizers.Replace(" ", "▁")]
    if blank == "first":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        added = [normalizers.Prepend("▁")] if blank == "always" else []
        tokenizer.normalizer = normalizers.Sequence([*added, *replaced])
    last = [] if blank == "never" else [decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *last])
    for token in _SPECIAL:
        is_stripped = strips and token in ("</s>", "<|user|>")
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True, rstrip=is_stripped)])
    if blank == "never":
        tokenizer.add_tokens([AddedToken(token, normalized=True, special=False) for token in _USER_DEFINED])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")
    return tokenizer


def write_plan(plan: GgufPlan, weights: Path, path: Path) -> Path:
    """The file that the plan announces, with the numbers of this safetensors file in float32."""
    entries = {key: (value, gguf.GGUFValueType[kind]) for key, value, kind in plan.metadata}
    writer = gguf.GGUFWriter(path, str(entries.pop("general.architecture")[0]))
    for key, (value, kind) in entries.items():
        writer.add_key_value(key, value, kind)
    for name, values in plan.extra.items():
        writer.add_tensor(name, values)
    with safe_open(weights, framework="np") as stored:
        for tensor in plan.tensors:
            is_parted = "{}" in tensor.source
            names = [tensor.source.format(number) for number in range(tensor.shape[0] if is_parted else 1)]
            parts = [stored.get_tensor(name) for name in names]
            values = np.ascontiguousarray(tensor.values(np.stack(parts) if is_parted else parts[0]))
            assert values.shape == tensor.shape
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
