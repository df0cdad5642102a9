"""Adapters on mixtures, whose experts transformers joins: those written for single experts, and those made here."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    GptOssConfig,
    GraniteMoeConfig,
    MixtralConfig,
    OlmoeConfig,
    PhimoeConfig,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
)

from services.lm.adapters import LoraSettings, add_lora, load_adapter, save_adapter
from services.lm.conversion.merge import merge_folders
from services.lm.errors import AdapterMismatch
from services.lm.loading import load
from services.lm.tiny import write_tiny_model

IDS = torch.arange(20)[None]
SIZES: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "bos_token_id": 1,
    "num_experts_per_tok": 2,
}
MADE: dict[str, Any] = {
    "mixtral": lambda: MixtralConfig(**SIZES, intermediate_size=48, num_local_experts=4),
    "olmoe": lambda: OlmoeConfig(**SIZES, intermediate_size=24, num_experts=4),
    "phimoe": lambda: PhimoeConfig(**SIZES, intermediate_size=24, num_local_experts=4),
    "granitemoe": lambda: GraniteMoeConfig(**SIZES, intermediate_size=24, num_local_experts=4),
    "gpt_oss": lambda: GptOssConfig(**SIZES, intermediate_size=24, num_local_experts=4, head_dim=8),
    "qwen3_moe": lambda: Qwen3MoeConfig(
        **SIZES, intermediate_size=64, moe_intermediate_size=24, num_experts=4, head_dim=8
    ),
    "qwen2_moe": lambda: Qwen2MoeConfig(
        **SIZES, intermediate_size=64, moe_intermediate_size=24, num_experts=4, shared_expert_intermediate_size=40
    ),
    "deepseek_v3": lambda: DeepseekV3Config(
        **SIZES,
        intermediate_size=64,
        moe_intermediate_size=24,
        n_routed_experts=4,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=1,
        q_lora_rank=16,
        kv_lora_rank=16,
        n_shared_experts=1,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
    ),
}


@pytest.fixture(scope="module")
def base_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The base of each kind, written once."""
    tiny = tmp_path_factory.mktemp("mixtures") / "tiny"
    write_tiny_model(tiny, num_layers=1)

    @cache
    def base(kind: str) -> Path:
        folder = tmp_path_factory.mktemp("mixtures") / "base"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            AutoModelForCausalLM.from_config(MADE[kind]()).save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copyfile(tiny / name, folder / name)
        return folder

    return base


def write_adapter_for_single_experts(folder: Path, base: Path, *, use_rslora: bool) -> Path:
    """An adapter on each expert's matrices by the names in the base's file; returns the base with it added by hand."""
    weights = load_file(base / "model.safetensors")
    source = torch.Generator().manual_seed(1)
    tensors: dict[str, torch.Tensor] = {}
    targets = [name for name in weights if ("experts." in name and "shared" not in name) or "q_proj" in name]
    for name in (name for name in targets if weights[name].dim() == 2):
        outputs, inputs = weights[name].shape
        down, up = (torch.randn(*shape, generator=source) * 0.3 for shape in ((4, inputs), (outputs, 4)))
        module = "base_model.model." + name.removesuffix(".weight")
        tensors |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
        weights[name] = weights[name] + (4.0 if use_rslora else 2.0) * up @ down
    modules = sorted({name.split(".")[-3] for name in tensors})
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "lora_dropout": 0.05, "use_rslora": use_rslora}
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config | {"target_modules": modules}))
    save_file(tensors, folder / "adapter" / "adapter_model.safetensors")
    shutil.copytree(base, folder / "expected")
    save_file(weights, folder / "expected" / "model.safetensors", metadata={"format": "pt"})
    return folder / "expected"


def computed(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = load(folder, dtype="float32", adapter=adapter).model(input_ids=IDS).logits
    return logits


@pytest.mark.parametrize(
    ("kind", "use_rslora"),
    [("mixtral", False), ("mixtral", True), ("olmoe", True), ("qwen3_moe", False), ("deepseek_v3", True)],
)
def test_an_adapter_for_single_experts_is_carried_over_and_merged(
    tmp_path: Path, base_of: Callable[[str], Path], kind: str, use_rslora: bool
) -> None:
    base = base_of(kind)
    expected = computed(write_adapter_for_single_experts(tmp_path, base, use_rslora=use_rslora))
    assert not torch.allclose(computed(base), expected, atol=1e-2)
    assert torch.allclose(computed(base, tmp_path / "adapter"), expected, atol=1e-5)
    merge_folders(base, tmp_path / "adapter", tmp_path / "merged")
    assert torch.allclose(computed(tmp_path / "merged"), expected, atol=1e-5)
    stored = [load_file(folder / "model.safetensors") for folder in (base, tmp_path / "merged")]
    assert stored[0].keys() == stored[1].keys()


@pytest.mark.parametrize("kind", ["phimoe", "qwen2_moe"])
def test_an_adapter_for_single_experts_that_cannot_be_carried_over_is_refused(
    tmp_path: Path, base_of: Callable[[str], Path], kind: str
) -> None:
    base = base_of(kind)
    write_adapter_for_single_experts(tmp_path, base, use_rslora=False)
    with pytest.raises(AdapterMismatch, match="experts") as refusal:
        merge_folders(base, tmp_path / "adapter", tmp_path / "merged")
    assert "Merge it where it was made" in refusal.value.next_step


def test_an_adapter_that_lacks_an_expert_is_refused(tmp_path: Path, base_of: Callable[[str], Path]) -> None:
    base = base_of("mixtral")
    write_adapter_for_single_experts(tmp_path, base, use_rslora=False)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if "experts.3" not in name}, file)
    with pytest.raises(AdapterMismatch):
        load(base, dtype="float32", adapter=tmp_path / "adapter")


@pytest.mark.parametrize("kind", sorted(MADE))
def test_an_adapter_made_here_on_a_mixture_is_read_again_and_merged(
    tmp_path: Path, base_of: Callable[[str], Path], kind: str
) -> None:
    base = base_of(kind)
    names = ("q_proj", "w1", "w2", "w3", "gate_proj", "up_proj", "down_proj", "o_proj")
    model = add_lora(load(base, dtype="float32").model, LoraSettings(target_modules=names, use_rslora=True), seed=1)
    source = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(torch.randn(parameter.shape, generator=source) * 0.1)
        expected = model.eval()(input_ids=IDS).logits
    save_adapter(model, tmp_path / "adapter")
    again = load_adapter(load(base, dtype="float32").model, tmp_path / "adapter", is_trainable=True).eval()
    with torch.no_grad():
        assert torch.equal(again(input_ids=IDS).logits, expected)
    merge_folders(base, tmp_path / "adapter", tmp_path / "merged")
    assert torch.allclose(computed(tmp_path / "merged"), expected, atol=1e-5)
    assert not torch.allclose(computed(base), expected, atol=1e-2)
