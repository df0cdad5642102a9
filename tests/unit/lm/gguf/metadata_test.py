"""Metadata: what a file is, how its positions are scaled, and that nothing which changes the computation is dropped."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.layout import inspect_gguf
from services.lm.errors import InvalidModelFile
from services.lm.loading import load
from tests.unit.lm.gguf.models import HEAD, weights, write

YARN = {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}


def rope_of(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text()).get("rope_scaling")


def llama_3_divisors(factor: float, head: int, theta: float) -> np.ndarray:
    """As llama.cpp's converter computes them from a Llama 3.1's configuration."""
    divisors = []
    for index in range(0, head, 2):
        wavelength = 2 * math.pi * theta ** (index / head)
        if wavelength < 8192 / 4:
            divisors.append(1.0)
        elif wavelength > 8192:
            divisors.append(factor)
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            divisors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, dtype=np.float32)


@pytest.mark.parametrize(
    "facts",
    [
        {"llama.rope.scale_linear": 2.0},
        {"llama.rope.scaling.factor": 2.0},
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0},
        {"llama.rope.scaling.factor": 2.0, "llama.rope.scale_linear": 8.0},
    ],
)
def test_linear_scaling_is_kept_in_each_of_its_forms(tmp_path: Path, facts: dict[str, Any]) -> None:
    convert_gguf(write(tmp_path / "m.gguf", facts=facts), tmp_path / "out")
    assert rope_of(tmp_path / "out") == {"rope_type": "linear", "factor": 2.0}
    turned = load(tmp_path / "out", dtype="float32").model.model.rotary_emb.inv_freq
    assert torch.allclose(turned, torch.tensor([10000 ** (-i / HEAD) / 2 for i in range(0, HEAD, 2)]))


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0},
        {"llama.rope.scaling.type": "linear"},
        {"llama.rope.scaling.type": "yarn"},
        {"llama.rope.scale_linear": 1.0, "llama.rope.dimension_count": HEAD},
    ],
)
def test_positions_that_are_not_scaled_stay_so(tmp_path: Path, facts: dict[str, Any]) -> None:
    convert_gguf(write(tmp_path / "m.gguf", facts=facts), tmp_path / "out")
    assert rope_of(tmp_path / "out") is None


def test_yarn_is_kept_with_its_length_and_its_factor_of_attention(tmp_path: Path) -> None:
    facts = YARN | {"llama.rope.scaling.original_context_length": 64, "llama.rope.scaling.attn_factor": 1.5}
    convert_gguf(write(tmp_path / "m.gguf", facts=facts), tmp_path / "out")
    rope = rope_of(tmp_path / "out")
    assert rope["attention_factor"] == pytest.approx(1.5 * (0.1 * math.log(4) + 1))
    assert (rope["rope_type"], rope["factor"], rope["original_max_position_embeddings"]) == ("yarn", 4.0, 64)
    assert load(tmp_path / "out", dtype="float32").model.model.rotary_emb.attention_scaling == rope["attention_factor"]


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_table_of_a_llama_3_is_its_scaling(tmp_path: Path, factor: float) -> None:
    facts = {"llama.context_length": 16384, "llama.rope.freq_base": 500000.0}
    divisors = llama_3_divisors(factor, HEAD, 500000.0)
    file = write(tmp_path / "m.gguf", facts=facts, tensors=weights() | {"rope_freqs.weight": divisors})
    convert_gguf(file, tmp_path / "out")
    turned = load(tmp_path / "out", dtype="float32").model.model.rotary_emb.inv_freq
    plain = torch.tensor([500000.0 ** (-index / HEAD) for index in range(0, HEAD, 2)])
    assert torch.allclose(turned, plain / torch.tensor(divisors), rtol=1e-4)


@pytest.mark.parametrize(
    "divisors",
    [
        np.array([1, 1, 1, 1, 2, 3, 4, 5], np.float32),
        np.array([1, 1, 1, 1, 1, 1, 1, np.nan], np.float32),
        np.array([1, 1, 1, 1, 1, 1, 1, np.inf], np.float32),
        np.ones(4, np.float32),
    ],
)
def test_another_table_of_positions_is_refused(tmp_path: Path, divisors: np.ndarray) -> None:
    with pytest.raises(InvalidModelFile, match="rope_freqs"):
        inspect_gguf(write(tmp_path / "m.gguf", tensors=weights() | {"rope_freqs.weight": divisors}))


ASKS = {
    "a part of each head": {"llama.rope.dimension_count": 8},
    "longrope": {"llama.rope.scaling.type": "longrope"},
    "an unknown scaling": {"llama.rope.scaling.type": "su"},
    "a factor of attention alone": {"llama.rope.scaling.attn_factor": 1.2},
    "yarn's own corrections": YARN | {"llama.rope.scaling.yarn_beta_fast": 16.0},
    "yarn's logarithm": YARN | {"llama.rope.scaling.yarn_log_multiplier": 0.1},
    "a yarn that shrinks": {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 0.5},
    "half a yes": {"tokenizer.ggml.add_bos_token": "no"},
    "a window": {"llama.attention.sliding_window": 128},
    "a scale of attention": {"llama.attention.scale": 0.1},
    "a scale of logits": {"llama.logit_scale": 0.5},
    "capped logits": {"llama.final_logit_softcapping": 30.0},
    "other lengths of values": {"llama.attention.value_length": 8},
    "layers that differ": {"llama.attention.head_count_kv": [2, 4]},
    "experts": {"llama.expert_count": 8},
    "drafts": {"llama.nextn_predict_layers": 1},
    "something of tomorrow": {"llama.attention.of_tomorrow": 1},
    "tokens never to write": {"tokenizer.ggml.suppress_tokens": [5]},
    "a rule of tomorrow": {"tokenizer.ggml.of_tomorrow": True},
    "another number of tokens": {"llama.vocab_size": 300},
    "no bound of its norms": {"llama.attention.layer_norm_rms_epsilon": None},
}


@pytest.mark.parametrize("case", ASKS)
def test_what_changes_the_computation_and_is_not_understood_is_refused(tmp_path: Path, case: str) -> None:
    with pytest.raises(InvalidModelFile) as refusal:
        inspect_gguf(write(tmp_path / "m.gguf", facts=ASKS[case]))
    assert refusal.value.next_step
    assert refusal.value.place or "different lengths" in refusal.value.problem


EXPERTS = {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 24}
ODD_SIZES: dict[str, tuple[str, dict[str, Any], str]] = {
    "no head in any layer": ("gpt2", {"attention.head_count": [0]}, "size is 0"),
    "heads that do not divide": ("bloom", {f"attention.head_count{kind}": 6 for kind in ("", "_kv")}, "do not fit"),
    "fewer heads of keys than the class has": ("bloom", {"attention.head_count_kv": 1}, "do not fit"),
    "heads of another length than the class has": ("falcon", {"attention.key_length": 32}, "do not fit"),
    "a list for millions of layers": ("lfm2", {"block_count": 1 << 24}, "16777216 layers, more than the 1024"),
    "no expert": ("qwen3moe", EXPERTS | {"expert_count": 0}, "size is 0"),
    "a name for each of too many experts": ("qwen3moe", EXPERTS | {"expert_count": 1 << 20}, "1048576 experts"),
    "no expert for a token": ("qwen3moe", EXPERTS | {"expert_used_count": 0}, "size is 0"),
    "half an expert for a token": ("qwen3moe", EXPERTS | {"expert_used_count": 1.5}, "size is 1.5"),
    "more experts for a token than there are": ("qwen3moe", EXPERTS | {"expert_used_count": 5}, "more experts than"),
}


@pytest.mark.parametrize("case", ODD_SIZES)
def test_sizes_that_no_model_has_are_refused_by_name(tmp_path: Path, case: str) -> None:
    architecture, sizes, words = ODD_SIZES[case]
    facts = {f"{architecture}.{key}": value for key, value in sizes.items()}
    with pytest.raises(InvalidModelFile, match=words):
        inspect_gguf(write(tmp_path / "m.gguf", architecture=architecture, facts=facts))


def test_what_says_that_nothing_is_special_is_no_obstacle(tmp_path: Path) -> None:
    facts = {
        "llama.expert_count": 0,
        "llama.attention.sliding_window": 256,
        "llama.attention.causal": True,
        "llama.attention.head_count_kv": [2],
        "llama.vocab_size": 261,
        "llama.tensor_data_layout": "Meta AI original pth",
        "tokenizer.ggml.fim_pre_token_id": 0,
        "general.tags": ["text"],
        "quantize.imatrix.file": "i.dat",
        "somebody.note": 1,
    }
    assert inspect_gguf(write(tmp_path / "m.gguf", facts=facts))["architecture"] == "llama"


@pytest.mark.parametrize(
    ("architecture", "facts", "problem"),
    [
        ("llama", {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 16.0}, "LoRA adapter"),
        ("llama", {"adapter.type": "lora"}, "LoRA adapter.*PEFT folder"),
        ("clip", {"general.type": "mmproj"}, "mmproj"),
        ("clip", {}, "mmproj"),
        ("imatrix", {"general.type": "imatrix"}, "importance matrix"),
        ("bert", {}, "embeddings"),
        ("qwen3", {"qwen3.pooling_type": 3}, "embeddings"),
        ("eagle3", {}, "draft head"),
        ("dream", {}, "diffusion"),
        ("controlvector", {}, "control vector"),
        (
            "mamba2",
            {},
            "'mamba2' is not converted from or to GGUF: it has state spaces .* are: llama, qwen2, qwen3, gemma, ",
        ),
    ],
)
def test_a_file_that_is_no_model_of_ours_is_named(
    tmp_path: Path, architecture: str, facts: dict[str, Any], problem: str
) -> None:
    lora = {"blk.0.attn_q.weight.lora_a": np.zeros((4, 8), np.float32)}
    with pytest.raises(InvalidModelFile, match=problem):
        inspect_gguf(write(tmp_path / "m.gguf", architecture=architecture, facts=facts, tensors=lora))


def test_a_file_with_a_vocabulary_alone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match="no weights"):
        inspect_gguf(write(tmp_path / "m.gguf", tensors={}))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (b"tjgg" + bytes(60), "older GGML"),
    ],
)
def test_what_was_downloaded_instead_of_the_file_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(InvalidModelFile, match=problem):
        inspect_gguf(tmp_path / "m.gguf")
