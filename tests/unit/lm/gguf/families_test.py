"""Each family both ways: a folder's plan, written and imported, is the same model with the same token ids."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Qwen3MoeConfig

from services.lm.adapters import LoraSettings, add_lora, merge_adapter, save_adapter
from services.lm.conversion.families import plan_gguf, rename_lora
from services.lm.conversion.families.family import EMBEDDING, HEAD, NORM, Part
from services.lm.conversion.families.qwen import QWEN3_MOE
from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.saving import stored_tensors
from services.lm.decoder.whole import computed_whole
from services.lm.errors import InvalidModelFile
from services.lm.loading import load
from tests.unit.lm.gguf.folders import write_folder, write_plan
from tests.unit.lm.gguf.models import FEED, HEADS, HIDDEN, KV_HEADS, TOKENS, write
from tests.unit.lm.gguf.models import HEAD as HEAD_SIZE

IDS = torch.arange(3, 43)[None]
TEXT = "It's 12 3\n\n<|im_start|>é 漢"
LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "attention_factor": 1.3}

LINEAR = {"rope_type": "linear", "factor": 8.0}
GEMMA = {"head_dim": 32, "query_pre_attn_scalar": 32}
LONG = {
    "rope_scaling": {"rope_type": "longrope", "long_factor": [1.5] * 6, "short_factor": [1.1] * 6},
    "original_max_position_embeddings": 32,
    "partial_rotary_factor": 0.75,
}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, untied, with biases": ("llama", {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True}),
    "llama 3": (
        "llama",
        {"rope_scaling": LLAMA_3 | {"original_max_position_embeddings": 8192}, "max_position_embeddings": 16384},
    ),
    "llama, linear": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"head_dim": 32, "tie_word_embeddings": False}),
    "qwen3, yarn": ("qwen3", {"rope_scaling": YARN, "rope_theta": 1e6}),
    "mistral": ("mistral", {"head_dim": 32, "sliding_window": None}),
    "gemma2": ("gemma2", GEMMA | {"sliding_window": 16}),
    "gemma3": ("gemma3_text", GEMMA | {"sliding_window": 16, "num_hidden_layers": 7, "rope_scaling": LINEAR}),
    "gemma3 without windows": ("gemma3_text", GEMMA | {"layer_types": ["full_attention"] * 2}),
    "phi3": ("phi3", {}),
    "phi3, long": ("phi3", LONG | {"tie_word_embeddings": True}),
    "smollm3": ("smollm3", {"num_hidden_layers": 4}),
    "olmo": ("olmo", {"clip_qkv": 0.5}),
    "olmo2": ("olmo2", {}),
    "olmo2, tied": ("olmo2", {"tie_word_embeddings": True}),
    "gemma": ("gemma", {"head_dim": 32}),
    "granite": ("granite", {"attention_multiplier": 0.3, "embedding_multiplier": 3.0, "logits_scaling": 0.5}),
    "starcoder2": ("starcoder2", {}),
    "stablelm": ("stablelm", {"use_qkv_bias": True, "tie_word_embeddings": False}),
    "nemotron": ("nemotron", {}),
    "olmo3": ("olmo3", {"sliding_window": 16, "num_hidden_layers": 4, "rope_scaling": YARN}),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_goes_out_and_comes_in_computes_the_same(tmp_path: Path, case: str) -> None:
    model_type, settings = deepcopy(MODELS[case])
    model = write_folder(tmp_path / "folder", model_type, **settings)
    plan = plan_gguf(tmp_path / "folder")
    convert_gguf(write_plan(plan, tmp_path / "folder/model.safetensors", tmp_path / "m.gguf"), tmp_path / "out")
    ours, theirs = load(tmp_path / "out", dtype="float32"), load(tmp_path / "folder", dtype="float32")
    with torch.no_grad(), computed_whole(ours.model):
        logits = model(input_ids=IDS).logits
        assert logits.std() > 0.1
        assert torch.allclose(ours.model(input_ids=IDS).logits, logits, atol=1e-5)
    assert ours.tokenizer.encode(TEXT) == theirs.tokenizer.encode(TEXT)
    assert ours.tokenizer.chat_template == theirs.tokenizer.chat_template
    assert [note for note in plan.notes if "tables of positions" not in note] == []


def test_a_head_beside_a_configuration_that_ties_is_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "llama", tie_word_embeddings=True)
    weights = load_file(tmp_path / "folder/model.safetensors")
    weights["lm_head.weight"] = torch.randn(260, 64)
    save_file(weights, tmp_path / "folder/model.safetensors")
    plan = plan_gguf(tmp_path / "folder")
    convert_gguf(write_plan(plan, tmp_path / "folder/model.safetensors", tmp_path / "m.gguf"), tmp_path / "out")
    assert torch.equal(load(tmp_path / "out", dtype="float32").model.lm_head.weight, weights["lm_head.weight"])


@pytest.mark.parametrize(
    "settings",
    [
        LoraSettings(r=4, lora_alpha=8),
        LoraSettings(r=4, use_rslora=True, alpha_pattern={"q_proj": 3.0}, rank_pattern={"v_proj": 8}),
    ],
)
def test_an_adapter_changes_the_written_weights_as_it_changes_the_folders(
    tmp_path: Path, settings: LoraSettings
) -> None:
    write_folder(tmp_path / "base", "llama", tie_word_embeddings=False)
    model = add_lora(load(tmp_path / "base", dtype="float32").model, settings, seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    save_adapter(model, tmp_path / "adapter")
    merged, base = merge_adapter(model).state_dict(), load_file(tmp_path / "base/model.safetensors")
    plan = rename_lora(tmp_path / "base", tmp_path / "adapter")
    stored = load_file(tmp_path / "adapter/adapter_model.safetensors")
    written = {tensor.name: tensor.values(stored[tensor.source].numpy()) for tensor in plan.tensors}
    alpha = next(value for key, value, _ in plan.metadata if key == "adapter.lora.alpha")
    matrices = [tensor for tensor in plan_gguf(tmp_path / "base").tensors if f"{tensor.name}.lora_a" in written]
    assert len(matrices) == 14
    for tensor in matrices:
        first, second = written[f"{tensor.name}.lora_a"], written[f"{tensor.name}.lora_b"]
        change = second @ first * (alpha / first.shape[0])
        expected = tensor.values(merged[tensor.source].numpy())
        np.testing.assert_allclose(tensor.values(base[tensor.source].numpy()) + change, expected, atol=1e-4)
    assert len(written) == 28


EXPERTS, USED, EXPERT_FEED = 4, 2, 24
FACTS = {"expert_count": EXPERTS, "expert_used_count": USED, "expert_feed_forward_length": EXPERT_FEED}


def random_mixture() -> torch.nn.Module:
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=len(TOKENS),
        hidden_size=HIDDEN,
        intermediate_size=FEED,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_SIZE,
        num_experts=EXPERTS,
        num_experts_per_tok=USED,
        moe_intermediate_size=EXPERT_FEED,
        norm_topk_prob=True,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
    )
    model: torch.nn.Module = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def write_mixture(model: torch.nn.Module, path: Path, **facts: object) -> Path:
    """The model as llama.cpp's converter lays it out."""
    stored = {name: tensor.numpy() for name, tensor in stored_tensors(model).items()}
    tensors = {part.gguf: stored[part.folder] for part in (EMBEDDING, NORM, HEAD)}

    def layer_tensor(part: Part, layer: int) -> np.ndarray:
        name = f"model.layers.{layer}.{part.folder}"
        return np.stack([stored[name.format(n)] for n in range(EXPERTS)]) if "{}" in name else stored[name]

    for layer in range(2):
        tensors |= {f"blk.{layer}.{part.gguf}": layer_tensor(part, layer) for part in QWEN3_MOE.layer}
    named = {f"qwen3moe.{key}": value for key, value in (FACTS | facts).items()}
    return write(path, architecture="qwen3moe", tensors=tensors, facts=named | {"qwen3moe.block_count": 2})


def test_a_mixture_computes_as_the_model_that_its_file_was_written_from(tmp_path: Path) -> None:
    model = random_mixture()
    convert_gguf(write_mixture(model, tmp_path / "m.gguf"), tmp_path / "out")
    with torch.no_grad():
        logits = model(input_ids=IDS).logits
        assert logits.std() > 0.1
        assert torch.allclose(load(tmp_path / "out", dtype="float32").model(input_ids=IDS).logits, logits, atol=1e-5)
    with pytest.raises(InvalidModelFile, match="'qwen3_moe' cannot be written as GGUF"):
        plan_gguf(tmp_path / "out")


def test_a_mixture_with_what_its_class_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match="mixture of experts"):
        convert_gguf(write_mixture(random_mixture(), tmp_path / "m.gguf", expert_shared_count=1), tmp_path / "out")
