"""GGUF models of a few kilobytes, by llama.cpp's own writer; greedily they write Z, and Q without their head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from tokenizers import pre_tokenizers

from services.lm.conversion.gguf import convert_gguf
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import load

HIDDEN, FEED, HEADS, KV_HEADS, HEAD = 64, 64, 4, 2, 16
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
TOKENS = [*SPECIAL, *LETTERS, "th", "the"]
MERGES = ["t h", "th e"]
Z, Q = TOKENS.index("Z"), TOKENS.index("Q")


def vocabulary(pre: str | None = "gpt-2", tokens: list[str] = TOKENS, merges: list[str] = MERGES) -> dict[str, Any]:
    facts = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in SPECIAL else 1 for token in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}",
    }
    return facts if pre is None else facts | {"tokenizer.ggml.pre": pre}


def sizes(architecture: str, layers: int = 1) -> dict[str, Any]:
    facts = {
        "block_count": layers,
        "context_length": 256,
        "embedding_length": HIDDEN,
        "feed_forward_length": FEED,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
    }
    return {f"{architecture}.{key}": value for key, value in facts.items()}


def weights(architecture: str = "llama", layers: int = 1, tokens: int = len(TOKENS)) -> dict[str, np.ndarray]:
    """Layers that add nothing of weight, an embedding that is the same for each token, and a head that wants Z."""
    noise = np.random.default_rng(0)
    embedding = np.ones((tokens, HIDDEN), dtype=np.float32)
    embedding[Q] *= 2
    head = np.zeros((tokens, HIDDEN), dtype=np.float32)
    head[Z] = 1
    tensors = {"token_embd.weight": embedding, "output_norm.weight": np.ones(HIDDEN, dtype=np.float32)}
    for layer in range(layers):
        shapes = {"attn_q": (HEADS * HEAD, HIDDEN), "attn_k": (KV_HEADS * HEAD, HIDDEN)}
        shapes |= {"attn_v": (KV_HEADS * HEAD, HIDDEN), "attn_output": (HIDDEN, HEADS * HEAD)}
        shapes |= {"ffn_gate": (FEED, HIDDEN), "ffn_up": (FEED, HIDDEN), "ffn_down": (HIDDEN, FEED)}
        shapes |= {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,)}
        if architecture == "qwen3":
            shapes |= {"attn_q_norm": (HEAD,), "attn_k_norm": (HEAD,)}
        for name, shape in shapes.items():
            values = noise.standard_normal(shape) * 0.01 + (len(shape) == 1)
            tensors[f"blk.{layer}.{name}.weight"] = values.astype(np.float32)
    return tensors | {"output.weight": head}


def write(
    path: Path,
    *,
    architecture: str = "llama",
    facts: Mapping[str, Any] | None = None,
    tensors: Mapping[str, np.ndarray] | None = None,
    raw: Iterable[tuple[str, np.ndarray, Kind]] = (),
    **split: Any,
) -> Path:
    """A GGUF of these metadata (None leaves one out) and tensors; `raw` ones are stored as they are."""
    writer = gguf.GGUFWriter(path, architecture, **split)
    kinds = {bool: gguf.GGUFValueType.BOOL, int: gguf.GGUFValueType.UINT32, float: gguf.GGUFValueType.FLOAT32}
    for key, value in (sizes(architecture) | vocabulary() | dict(facts or {})).items():
        if value is not None and key != "general.architecture":
            kind = kinds.get(type(value), gguf.GGUFValueType.STRING)
            writer.add_key_value(key, value, gguf.GGUFValueType.ARRAY if isinstance(value, list) else kind)
    for name, values in (weights(architecture) if tensors is None else tensors).items():
        writer.add_tensor(name, values)
    for name, stored, stored_as in raw:
        writer.add_tensor(name, stored, raw_dtype=stored_as)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_split(folder: Path, name: str = "tiny", per_part: int = 4, **options: Any) -> list[Path]:
    """The model over several files; the head is in the last."""
    folder.mkdir(exist_ok=True)
    write(folder / f"{name}.gguf", split_max_tensors=per_part, **options)
    return sorted(folder.glob(f"{name}-*-of-*.gguf"))


def written(source: Path, out: Path, prompt: str = "a") -> str:
    """What the imported model writes."""
    convert_gguf(source, out)
    loaded = load(out, dtype="float32")
    ids = loaded.tokenizer.encode(prompt)
    (result,) = Engine(loaded).generate([GenerationRequest("key", ids, 4)])
    return result.text
