"""GGUF files made by hand: valid ones from tiny models, and hostile ones byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

STRING, ARRAY, UINT32, UINT8 = 8, 9, 4, 0


def text(value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + items


def preamble(num_tensors: int, num_keys: int, version: int = 3, magic: bytes = b"GGUF") -> bytes:
    return magic + struct.pack("<IQQ", version, num_tensors, num_keys)


def tensor(name: str, shape: tuple[int, ...], offset: int = 0, kind: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def hostile_files() -> dict[str, tuple[bytes, str]]:
    """By name: the bytes, and what the refusal says."""
    long_array = preamble(0, 1) + pair("a" * 60, ARRAY, array(UINT32, 1 << 40))
    nested = b"".join(array(ARRAY, 1) for _ in range(5000)) + array(UINT8, 0)
    one = pair("key", UINT32, struct.pack("<I", 1))
    return {
        "array_of_2_to_40": (long_array + b"\0" * (113 - len(long_array)), "array announces"),
        "empty_strings": (
            preamble(0, 1) + pair("k", ARRAY, array(STRING, 3 << 20, b"\0" * (24 << 20))),
            "array announces",
        ),
        "many_short_arrays": (
            preamble(0, 20)
            + b"".join(pair(f"k{i}", ARRAY, array(STRING, 1 << 20, b"\0" * (8 << 20))) for i in range(11)),
            "than allowed|ends after|larger than",
        ),
        "magic": (preamble(0, 0, magic=b"GGML"), "not a GGUF"),
        "version_1": (preamble(0, 0, version=1), "version 1"),
        "version_big_endian": (preamble(0, 0, version=3 << 24), "version"),
        "tensor_count": (preamble((1 << 63) - 1, 0), "tensors are announced"),
        "key_count": (preamble(0, (1 << 63) - 1), "keys are announced"),
        "string_past_end": (preamble(0, 1) + struct.pack("<Q", 900) + b"abc", "ends after"),
        "string_of_2_to_63": (preamble(0, 1) + struct.pack("<Q", 1 << 63), "string announces"),
        "array_past_end": (preamble(0, 1) + pair("k", ARRAY, array(UINT32, 1 << 19)), "ends after"),
        "nested_arrays": (preamble(0, 1) + pair("k", ARRAY, nested), "holds arrays"),
        "unknown_value_type": (preamble(0, 1) + pair("k", 77, b""), "unknown type 77"),
        "duplicate_keys": (preamble(0, 2) + one + one, "appears twice"),
        "not_utf8": (preamble(0, 1) + text(b"\xff\xfe") + struct.pack("<I", UINT8) + b"\0", "UTF-8"),
        "alignment_0": (preamble(0, 1) + pair("general.alignment", UINT32, struct.pack("<I", 0)), "power of two"),
        "alignment_48": (preamble(0, 1) + pair("general.alignment", UINT32, struct.pack("<I", 48)), "power of two"),
        "tensor_beyond_end": (preamble(1, 0) + tensor("t", (64,), offset=1 << 40) + b"\0" * 4096, "would end at"),
        "tensor_offset_wraps": (
            preamble(1, 0) + tensor("t", (64,), offset=(1 << 64) - 32) + b"\0" * 4096,
            "would end at",
        ),
        "tensor_shape_overflows": (preamble(1, 0) + tensor("t", (1 << 62, 1 << 62)) + b"\0" * 4096, "impossible"),
        "tensor_shape_empty": (preamble(1, 0) + tensor("t", (0, 4)) + b"\0" * 4096, "impossible"),
        "tensor_unaligned": (preamble(1, 0) + tensor("t", (4,), offset=7) + b"\0" * 4096, "not a multiple"),
        "tensor_type_unknown": (preamble(1, 0) + tensor("t", (4,), kind=99) + b"\0" * 4096, "type 99"),
        "tensor_half_block": (preamble(1, 0) + tensor("t", (33,), kind=2) + b"\0" * 4096, "blocks of 32"),
        "tensor_of_9_dimensions": (preamble(1, 0) + tensor("t", (1,) * 9) + b"\0" * 4096, "9 dimensions"),
        "tensors_overlap": (preamble(2, 0) + tensor("a", (64,)) + tensor("b", (64,), 32) + b"\0" * 4096, "overlaps"),
        "tensor_twice": (preamble(2, 0) + tensor("a", (8,)) + tensor("a", (8,), 32) + b"\0" * 4096, "appears twice"),
        "empty": (b"", "ends after 0 bytes"),
        "no_architecture": (preamble(0, 0), "architecture"),
    }


def write_tiny_gguf(
    path: Path, config: Any, weights: Mapping[str, np.ndarray], *, architecture: str = "llama", quantised: bool = False
) -> None:
    """The model as a GGUF file, as llama.cpp's converter writes it, with a byte-level tokenizer of 300 tokens."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    _add_tokenizer(writer, config.vocab_size)
    names = gguf.get_tensor_name_map(
        next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), config.num_hidden_layers
    )
    for name, given in weights.items():
        stem, _, suffix = name.rpartition(".")
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(stem[-6:])
        values = given
        if architecture == "llama" and heads:
            values = given.reshape(heads, 2, -1, *given.shape[1:]).swapaxes(1, 2).reshape(given.shape)
        kind = gguf.GGMLQuantizationType.Q8_0 if quantised and values.ndim == 2 else gguf.GGMLQuantizationType.F32
        target = names.get_name(stem)
        assert target is not None, name
        writer.add_tensor(
            f"{target}.{suffix}", gguf.quants.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "he", "ll"]
    tokens += [f"<unused{index}>" for index in range(vocabulary - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (vocabulary - 3))
    writer.add_token_merges(["h e", "l l"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
