"""Each family both ways: a folder's plan, written and imported, is the same model with the same token ids.

Of those that are not carried over the refusal says why and what can be had, and that can be had.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from services.lm.adapters import LoraSettings, add_lora, merge_adapter, save_adapter
from services.lm.conversion.families import plan_gguf, rename_lora
from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.layout import inspect_gguf
from services.lm.decoder.whole import computed_whole
from services.lm.errors import InvalidModelFile
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import load
from tests.unit.lm.gguf.folders import write_folder, write_plan

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

TRANSFORMER = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}
FALCON = {"ffn_hidden_size": 96, "num_kv_heads": 4}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}

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
    "gpt2": ("gpt2", TRANSFORMER | {"n_inner": 96}),
    "bloom": ("bloom", TRANSFORMER | {"intermediate_size": 256}),
    "falcon": ("falcon", FALCON),
    "falcon, a head of keys for each": ("falcon", FALCON | {"multi_query": False}),
    "falcon 2": (
        "falcon",
        FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
    ),
    "lfm2": ("lfm2", {"num_hidden_layers": 4, "layer_types": ["conv", "conv", "full_attention", "conv"]}),
    "qwen2_moe": ("qwen2_moe", EXPERTS | {"shared_expert_intermediate_size": 40, "tie_word_embeddings": False}),
    "qwen3_moe": ("qwen3_moe", EXPERTS | {"head_dim": 16, "norm_topk_prob": True}),
    "mamba": ("mamba", {"intermediate_size": 128, "state_size": 8, "conv_kernel": 3, "time_step_rank": 5}),
    "minimax_m2": (
        "minimax_m2",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16, "rotary_dim": 8},
    ),
    "olmo3": ("olmo3", {"sliding_window": 16, "num_hidden_layers": 4, "rope_scaling": YARN}),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_goes_out_and_comes_in_computes_the_same(tmp_path: Path, case: str) -> None:
    model_type, settings = deepcopy(MODELS[case])
    model = write_folder(tmp_path / "folder", model_type, **settings)
    plan = plan_gguf(tmp_path / "folder")
    file = write_plan(plan, tmp_path / "folder/model.safetensors", tmp_path / "m.gguf")
    context = next(value for key, value, _ in plan.metadata if key.endswith(".context_length"))
    assert inspect_gguf(file)["max_positions"] == context
    convert_gguf(file, tmp_path / "out")
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


ADAPTERS: dict[str, tuple[str, LoraSettings, int]] = {
    "llama": ("llama, untied, with biases", LoraSettings(r=4, lora_alpha=8), 14),
    "patterns": (
        "llama",
        LoraSettings(r=4, use_rslora=True, alpha_pattern={"q_proj": 3.0}, rank_pattern={"v_proj": 8}),
        14,
    ),
    "transposed": ("gpt2", LoraSettings(r=4), 8),
    "grouped": ("falcon 2", LoraSettings(r=4), 8),
    "layers of two kinds": ("lfm2", LoraSettings(r=4), 22),
}


@pytest.mark.parametrize("case", ADAPTERS)
def test_an_adapter_changes_the_written_weights_as_it_changes_the_folders(tmp_path: Path, case: str) -> None:
    name, settings, count = ADAPTERS[case]
    model_type, sizes = deepcopy(MODELS[name])
    write_folder(tmp_path / "base", model_type, **sizes)
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
    assert len(matrices) == count
    for tensor in matrices:
        first, second = written[f"{tensor.name}.lora_a"], written[f"{tensor.name}.lora_b"]
        change = second @ first * (alpha / first.shape[0])
        expected = tensor.values(merged[tensor.source].numpy())
        np.testing.assert_allclose(tensor.values(base[tensor.source].numpy()) + change, expected, atol=1e-4)
    assert len(written) == 2 * count


def test_a_mixture_with_what_its_class_does_not_have_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "qwen3_moe", **MODELS["qwen3_moe"][1])
    plan = plan_gguf(tmp_path / "folder")
    plan.metadata.append(("qwen3moe.expert_shared_count", 1, "UINT32"))
    with pytest.raises(InvalidModelFile, match="mixture of experts"):
        convert_gguf(write_plan(plan, tmp_path / "folder/model.safetensors", tmp_path / "m.gguf"), tmp_path / "out")


def test_experts_of_another_size_than_their_tensors_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "minimax_m2", **MODELS["minimax_m2"][1])
    plan = plan_gguf(tmp_path / "folder")
    plan.metadata.append(("minimax-m2.expert_feed_forward_length", 48, "UINT32"))
    with pytest.raises(InvalidModelFile, match=r"the metadata asks for .*48"):
        convert_gguf(write_plan(plan, tmp_path / "folder/model.safetensors", tmp_path / "m.gguf"), tmp_path / "out")


def test_names_without_their_beginning_are_found(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "gpt2", **TRANSFORMER)
    weights = load_file(tmp_path / "folder/model.safetensors")
    expected = [tensor.name for tensor in plan_gguf(tmp_path / "folder").tensors]
    save_file(
        {name.removeprefix("transformer."): tensor for name, tensor in weights.items()},
        tmp_path / "folder/model.safetensors",
    )
    plan = plan_gguf(tmp_path / "folder")
    assert [tensor.name for tensor in plan.tensors] == expected
    assert plan.tensors[0].source == "wte.weight"


ASKED = [(7 * index * index) % 250 + 3 for index in range(40)]
NUM_NEW = 6
WINDOW = {"head_dim": 16, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
GEMMA4 = {"global_head_dim": 32, "vocab_size_per_layer_input": 260, "hidden_size_per_layer_input": 8}


@pytest.mark.parametrize(
    ("architecture", "reason", "next_step"),
    [
        ("gpt-oss", "sinks", "Import its folder of safetensors"),
        ("gemma4", "keys of others", "exported as adapter or merged weights"),
        ("deci", "transformers has no class of it", "No form of it can be used here"),
        ("t5", "reads a text whole", "No form of it can be used here"),
        ("rwkv7", "none of those", "import it as a Hugging Face folder"),
    ],
)
def test_a_refusal_names_the_forms_that_can_be_had(
    tmp_path: Path, architecture: str, reason: str, next_step: str
) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", architecture)
    writer.add_tensor("token_embd.weight", np.zeros((2, 32), dtype=np.float32))
    for write in (
        writer.write_header_to_file,
        writer.write_kv_data_to_file,
        writer.write_tensors_to_file,
        writer.close,
    ):
        write()
    with pytest.raises(InvalidModelFile, match=f"'{architecture}'.*{reason}") as refusal:
        inspect_gguf(tmp_path / "model.gguf")
    assert next_step in refusal.value.next_step


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("gpt_oss", {**WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2}),
        ("gemma4_text", {**WINDOW, **GEMMA4, "num_kv_shared_layers": 0}),
    ],
)
def test_the_folder_of_such_a_family_answers_as_transformers_does(
    tmp_path: Path, model_type: str, settings: dict[str, Any]
) -> None:
    write_folder(tmp_path / "model", model_type, **settings)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    ids = list(ASKED)
    with torch.no_grad():
        while len(ids) < len(ASKED) + NUM_NEW:
            ids.append(int(reference(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    (answer,) = Engine(load(tmp_path / "model", dtype="float32")).generate([GenerationRequest("key", ASKED, NUM_NEW)])
    assert list(answer.token_ids) == ids[len(ASKED) :]
