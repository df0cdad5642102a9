"""Tensors: all that are announced are there, none is dropped, and each has the numbers that gguf's own reader gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Kind
from gguf.quants import _type_traits, dequantize, quantize
from safetensors.torch import load_file

from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.layout import inspect_gguf
from services.lm.errors import InvalidModelFile
from services.lm.loading import load
from tests.unit.lm.gguf.models import FEED, HEAD, HIDDEN, KV_HEADS, sizes, weights, write, written

FLOATS = np.float32
NAME = "blk.0.ffn_down.weight"
# Numbers per row: whole blocks of every type.
WIDE = 256


def without(*names: str, **extra: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values for name, values in weights().items() if name not in names}


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=FLOATS)


def config_of(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("kind", sorted(_type_traits), ids=lambda kind: kind.name)
def test_every_quantisation_that_gguf_reads_has_its_numbers(tmp_path: Path, kind: Kind) -> None:
    block, size = GGML_QUANT_SIZES[kind]
    # Bytes that are a small number of half precision too, wherever a block holds its scale.
    low, high = (118, 130) if kind is Kind.MXFP4 else (16, 60)
    rows = np.random.default_rng(3).integers(low, high, size=(HIDDEN, WIDE // block * size), dtype=np.uint8)
    tensors = without(NAME) | {f"blk.0.ffn_{part}.weight": zeros(WIDE, HIDDEN) for part in ("gate", "up")}
    file = write(
        tmp_path / "m.gguf",
        facts={"llama.feed_forward_length": WIDE},
        tensors=tensors,
        raw=[(NAME, rows.view(np.uint16) if kind is Kind.BF16 else rows, kind)],
    )
    convert_gguf(file, tmp_path / "out")
    stored = load_file(tmp_path / "out" / "model.safetensors")["model.layers.0.mlp.down_proj.weight"].float().numpy()
    exact = dequantize(rows, kind)
    assert len(np.unique(exact)) > 10
    np.testing.assert_array_equal(stored, exact if kind is Kind.BF16 else exact.astype(np.float16).astype(FLOATS))


def test_the_scale_beside_a_tensor_multiplies_it(tmp_path: Path) -> None:
    block, size = GGML_QUANT_SIZES[Kind.NVFP4]
    rows = np.random.default_rng(3).integers(30, 60, size=(HIDDEN, FEED // block * size), dtype=np.uint8)
    scales = {"blk.0.ffn_down.scale": np.array([0.25], FLOATS), "blk.0.ffn_down.input_scale": np.array([9.0], FLOATS)}
    file = write(tmp_path / "m.gguf", tensors=without(NAME) | scales, raw=[(NAME, rows, Kind.NVFP4)])
    assert inspect_gguf(file)["num_parameters"] == sum(values.size for values in weights().values())
    convert_gguf(file, tmp_path / "out")
    stored = load_file(tmp_path / "out" / "model.safetensors")["model.layers.0.mlp.down_proj.weight"]
    np.testing.assert_array_equal(stored.numpy(), (dequantize(rows, Kind.NVFP4) * FLOATS(0.25)).astype(np.float16))


def test_numbers_that_half_precision_cannot_hold_are_refused_and_not_infinite(tmp_path: Path) -> None:
    large = np.full((HIDDEN, FEED), 1e6, dtype=FLOATS)
    half = {"blk.0.ffn_up.weight": zeros(FEED, HIDDEN).astype(np.float16)}
    file = write(tmp_path / "m.gguf", tensors=weights() | half | {NAME: large})
    with pytest.raises(InvalidModelFile, match=r"blk\.0\.ffn_down.*too large for float16"):
        convert_gguf(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_tied_or_not_is_what_the_tensors_say(tmp_path: Path, architecture: str, is_tied: bool) -> None:
    tensors = weights(architecture)
    if is_tied:
        tensors.pop("output.weight")
    assert written(write(tmp_path / "m.gguf", architecture=architecture, tensors=tensors), tmp_path / "out") == (
        "QQQQ" if is_tied else "ZZZZ"
    )
    assert config_of(tmp_path / "out")["tie_word_embeddings"] is is_tied


@pytest.mark.parametrize(
    ("architecture", "biases", "count"),
    [
        ("llama", ("attn_q", "attn_k", "attn_v"), 4),
        ("llama", ("attn_output",), 4),
        ("llama", ("ffn_down",), 3),
        ("qwen2", (), 3),
        ("qwen2", ("attn_q", "attn_k", "attn_v"), 3),
        ("qwen3", ("attn_v",), 4),
    ],
)
def test_biases_are_kept_and_those_that_a_class_needs_besides_are_zero(
    tmp_path: Path, architecture: str, biases: tuple[str, ...], count: int
) -> None:
    tensors = weights(architecture)
    added = {f"blk.0.{name}.bias": np.full(tensors[f"blk.0.{name}.weight"].shape[0], 0.5, FLOATS) for name in biases}
    convert_gguf(write(tmp_path / "m.gguf", architecture=architecture, tensors=tensors | added), tmp_path / "out")
    stored = load(tmp_path / "out", dtype="float32").model.state_dict()
    values = {name: set(tensor.tolist()) for name, tensor in stored.items() if name.endswith(".bias")}
    places = {
        "attn_q": "q_proj",
        "attn_k": "k_proj",
        "attn_v": "v_proj",
        "attn_output": "o_proj",
        "ffn_down": "down_proj",
    }
    assert [name for name, numbers in values.items() if numbers == {0.5}] == [
        name for name in values if any(places[bias] in name for bias in biases)
    ]
    assert all(numbers in ({0.5}, {0.0}) for numbers in values.values())
    assert len(values) == count


LACKS = {
    "a layer": (without(), {"llama.block_count": 2}, r"blk\.1\..*missing"),
    "a norm": (without("blk.0.ffn_norm.weight"), {}, r"blk\.0\.ffn_norm.*missing"),
    "its embedding": (without("token_embd.weight"), {}, r"token_embd.*missing"),
    "its last norm": (without("output_norm.weight"), {}, r"output_norm.*missing"),
}
EXTRAS = {
    "a layer too many": ({"blk.1.ffn_norm.weight": zeros(HIDDEN)}, "Only 1 layers are announced"),
    "experts": ({"blk.0.ffn_gate_inp.weight": zeros(4, HIDDEN)}, "mixture of experts"),
    "norms of heads": ({"blk.0.attn_q_norm.weight": zeros(HEAD)}, "unknown purpose"),
    "sinks": ({"blk.0.attn_sinks.weight": zeros(KV_HEADS)}, "unknown purpose"),
    "a bias of the head": ({"output.bias": zeros(261)}, "unknown purpose"),
    "a norm's bias": ({"blk.0.attn_norm.bias": zeros(HIDDEN)}, "unknown purpose"),
    "long factors": ({"rope_factors_long.weight": zeros(HEAD // 2)}, "unknown purpose"),
    "a scale of many": ({"blk.0.ffn_up.scale": zeros(2)}, "no scale of a known form"),
    "a scale of the embedding": ({"token_embd.scale": zeros(1)}, "unknown purpose"),
}


@pytest.mark.parametrize("case", LACKS)
def test_a_tensor_that_is_announced_and_missing_is_named_at_import(tmp_path: Path, case: str) -> None:
    tensors, facts, problem = LACKS[case]
    with pytest.raises(InvalidModelFile, match=problem):
        inspect_gguf(write(tmp_path / "m.gguf", facts=facts, tensors=tensors))


@pytest.mark.parametrize("case", EXTRAS)
def test_a_tensor_that_nobody_would_use_is_refused(tmp_path: Path, case: str) -> None:
    tensors, problem = EXTRAS[case]
    with pytest.raises(InvalidModelFile, match=problem):
        inspect_gguf(write(tmp_path / "m.gguf", tensors=weights() | tensors))


def test_a_bias_in_one_layer_of_two_is_refused(tmp_path: Path) -> None:
    tensors = weights(layers=2) | {"blk.0.attn_q.bias": zeros(HIDDEN)}
    with pytest.raises(InvalidModelFile, match=r"blk\.1\.attn_q\.bias.*missing"):
        inspect_gguf(write(tmp_path / "m.gguf", facts=sizes("llama", 2), tensors=tensors))


def test_a_qwen3_without_norms_of_heads_is_refused_at_import(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match=r"attn_q_norm.*missing"):
        inspect_gguf(write(tmp_path / "m.gguf", architecture="qwen3", tensors=weights("llama")))


def test_what_a_quantised_file_was_made_from_is_told(tmp_path: Path) -> None:
    rows = {name: values for name, values in weights().items() if values.ndim > 1}
    raw = [(name, quantize(values, Kind.Q8_0), Kind.Q8_0) for name, values in rows.items()]
    facts = {"general.source.repo_url": "https://huggingface.co/lab/tiny", "general.repo_url": "https://elsewhere/x"}
    file = write(tmp_path / "q.gguf", tensors=without(*rows), raw=raw, facts=facts)
    assert inspect_gguf(file)["original"] == "lab/tiny"
    assert inspect_gguf(write(tmp_path / "f.gguf", facts=facts))["original"] == ""
