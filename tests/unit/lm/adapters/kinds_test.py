"""Adapters that PEFT itself made, of every kind: computed as PEFT computes them, or refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from services.lm.adapters import read_settings
from services.lm.conversion.merge import merge_folders
from services.lm.errors import AdapterMismatch, InvalidModelFile
from services.lm.loading import load
from services.lm.tiny import write_tiny_model

IDS = torch.arange(30)[None]
PREFIX = "base_model.model."
Tensors = dict[str, torch.Tensor]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*(embedding layers|tied|tie_word_embeddings|no bias|did not match)"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds") / "model"
    write_tiny_model(folder, num_layers=3)
    return folder


def plain(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def write_adapter(folder: Path, out: Path, **settings: Any) -> torch.Tensor:
    """An adapter far from where it began, as PEFT saves it; the logits that its own training ended with."""
    values = {"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = get_peft_model(plain(folder), LoraConfig(**(values | settings))).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ("lora_" in name and "magnitude" not in name) or ".modules_to_save." in name:
                    parameter.add_(torch.randn(parameter.shape) * 0.1)
            logits: torch.Tensor = model(input_ids=IDS).logits
    model.save_pretrained(out)
    return logits


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    """The usual adapter and the logits that its training ended with."""
    place = tmp_path_factory.mktemp("kinds") / "adapter"
    return place, write_adapter(folder, place)


@pytest.fixture
def adapter(trained: tuple[Path, torch.Tensor], tmp_path: Path) -> Path:
    """A copy of the usual adapter, to be spoilt."""
    return Path(shutil.copytree(trained[0], tmp_path / "adapter"))


def computed(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = load(folder, dtype="float32", adapter=adapter).model(input_ids=IDS).logits
    return logits


@pytest.fixture(scope="module")
def untrained(folder: Path) -> torch.Tensor:
    return computed(folder)


def rewrite(adapter: Path, change: Callable[[Tensors], Tensors]) -> None:
    file = adapter / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)


@pytest.mark.parametrize(
    "settings",
    [
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "orthogonal"},
        {"init_lora_weights": "mica"},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa", "use_rslora": True},
        {"init_lora_weights": "olora"},
        {"use_dora": True},
        {"use_rslora": True},
        {"rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"down_proj": 32}},
        {"layers_to_transform": [0, 2]},
        {"layers_to_transform": 1, "layers_pattern": "layers"},
        {"exclude_modules": ["layers.0.self_attn.q_proj"]},
        {"target_modules": r".*\.(q|v)_proj"},
        {"target_modules": "all-linear", "lora_dropout": 0.1},
        {"target_modules": ["embed_tokens", "q_proj"]},
        {"target_modules": ["lm_head", "q_proj"]},
        {"task_type": None},
        {"modules_to_save": ["embed_tokens", "norm"]},
        {"modules_to_save": ["lm_head"]},
    ],
    ids=str,
)
def test_an_adapter_of_this_kind_computes_and_merges_as_peft_does(
    folder: Path, untrained: torch.Tensor, tmp_path: Path, settings: dict[str, Any]
) -> None:
    trained = write_adapter(folder, tmp_path / "adapter", **settings)
    reference = PeftModel.from_pretrained(plain(folder), tmp_path / "adapter").eval()
    with torch.no_grad():
        expected = reference(input_ids=IDS).logits
    assert torch.allclose(expected, trained, atol=1e-5)
    assert not torch.allclose(untrained, expected, atol=1e-2)
    assert torch.allclose(computed(folder, tmp_path / "adapter"), expected, atol=1e-5)
    merge_folders(folder, tmp_path / "adapter", tmp_path / "merged")
    assert torch.allclose(computed(tmp_path / "merged"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4"),
        ({"init_lora_weights": "corda"}, "corda"),
        ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}}, "loftq"),
        ({"init_lora_weights": "lora_ga"}, "lora_ga"),
        ({"init_lora_weights": "of-tomorrow"}, "of-tomorrow"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"lora_bias": True}, "lora_bias"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"alora_invocation_tokens": [3]}, "alora_invocation_tokens"),
        ({"use_qalora": True}, "use_qalora"),
        ({"use_bdlora": {"nblocks": 2}}, "use_bdlora"),
        ({"arrow_config": {"top_k": 2}}, "arrow_config"),
        ({"kasa_config": {"beta": 1e-4}}, "kasa_config"),
        ({"velora_config": {"rank": 2}}, "velora_config"),
        ({"monteclora_config": {"num_samples": 2}}, "monteclora_config"),
        ({"megatron_config": {"a": 1}}, "megatron_config"),
        ({"ensure_weight_tying": True}, "ensure_weight_tying"),
        ({"field_of_tomorrow": 1}, "field_of_tomorrow"),
        ({"use_dora": "yes"}, "use_dora"),
        ({"lora_alpha": float("nan")}, "lora_alpha"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"r": None}, "rank"),
        ({"rank_pattern": {"(a+)+": 2}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": "8"}}, "alpha_pattern"),
        ({"layers_pattern": "layers"}, "contradict"),
    ],
)
def test_a_field_that_changes_the_computation_otherwise_is_refused_by_name(
    adapter: Path, change: dict[str, object], named: str
) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InvalidModelFile, match=named):
        read_settings(adapter)


def test_a_refused_field_ends_the_loading(folder: Path, adapter: Path) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lora_bias": True}))
    with pytest.raises(InvalidModelFile, match="lora_bias"):
        load(folder, dtype="float32", adapter=adapter)


def test_a_pattern_of_modules_that_takes_for_ever_is_refused(folder: Path, adapter: Path) -> None:
    file = adapter / "adapter_config.json"
    nested = r"(\w|\w\w|\w+|\.)*(\w|\w\w|\w+|\.)*(\w|\.)*!"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"target_modules": nested}))
    with pytest.raises((InvalidModelFile, AdapterMismatch)):
        load(folder, dtype="float32", adapter=adapter)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.removeprefix(PREFIX),
        lambda name: name.replace(PREFIX, PREFIX + PREFIX),
        lambda name: name.replace(PREFIX, "module." + PREFIX),
        lambda name: name.replace("model.layers", "model.language_model.layers"),
        lambda name: name.replace(PREFIX, PREFIX + "language_model."),
        lambda name: name.replace(PREFIX + "model.", ""),
        lambda name: name.replace(".weight", ".default.weight"),
        lambda name: name.replace(".weight", ".mine.weight"),
    ],
)
def test_names_of_other_makers_are_mapped(
    folder: Path, adapter: Path, trained: tuple[Path, torch.Tensor], rename: Callable[[str], str]
) -> None:
    rewrite(adapter, lambda tensors: {rename(name): tensor for name, tensor in tensors.items()})
    assert torch.allclose(computed(folder, adapter), trained[1], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "problem", "place"),
    [
        (lambda tensors: {}, "12 tensors .* missing", "layers.0.mlp.down_proj.lora_A"),
        (lambda tensors: {n: t for n, t in tensors.items() if "layers.0" in n}, "8 tensors .* missing", "layers.1"),
        (lambda tensors: {n: t for n, t in tensors.items() if "lora_B" in n}, "6 tensors .* missing", "lora_A"),
        (lambda tensors: {n.replace("layers", "blocks"): t for n, t in tensors.items()}, "no place", "blocks.0"),
        (
            lambda tensors: tensors | {n.replace("model.l", "vision.l"): t.clone() for n, t in tensors.items()},
            "12 tensors .* no place",
            "vision.layers.0",
        ),
        (
            lambda tensors: tensors | {PREFIX + "lm_head.weight": torch.ones(259, 64)},
            "in place of the base's",
            "lm_head",
        ),
        (
            lambda tensors: tensors | {n.removeprefix(PREFIX): t.clone() for n, t in tensors.items()},
            "for one place",
            "lora_",
        ),
    ],
)
def test_an_adapter_whose_tensors_are_not_the_models_is_refused_with_their_names(
    folder: Path, adapter: Path, tmp_path: Path, change: Callable[[Tensors], Tensors], problem: str, place: str
) -> None:
    rewrite(adapter, change)
    with pytest.raises(AdapterMismatch, match=problem) as refusal:
        merge_folders(folder, adapter, tmp_path / "merged")
    assert place in refusal.value.place
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tensor: tensor / 0, "infinite or none"),
        (lambda tensor: tensor * float("nan"), "infinite or none"),
        (lambda tensor: tensor.to(torch.int8), "int8"),
    ],
)
def test_an_adapter_of_numbers_that_are_none_is_refused(
    folder: Path, adapter: Path, change: Callable[[torch.Tensor], torch.Tensor], problem: str
) -> None:
    rewrite(adapter, lambda tensors: {n: change(t) if "lora_B" in n else t for n, t in tensors.items()})
    with pytest.raises(InvalidModelFile, match=problem) as refusal:
        load(folder, dtype="float32", adapter=adapter)
    assert "lora_B" in refusal.value.place


def test_an_adapter_for_fewer_layers_than_the_model_has_is_refused(folder: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "shallow", num_layers=2)
    write_adapter(tmp_path / "shallow", tmp_path / "adapter")
    with pytest.raises(AdapterMismatch, match="missing") as refusal:
        load(folder, dtype="float32", adapter=tmp_path / "adapter")
    assert "layers.2" in refusal.value.place


@pytest.mark.parametrize("name", ["embed_tokens", "lm_head"])
def test_a_merge_that_parts_head_and_embedding_says_so_in_the_configuration(
    folder: Path, tmp_path: Path, name: str
) -> None:
    write_adapter(folder, tmp_path / "adapter", target_modules=[name])
    merge_folders(folder, tmp_path / "adapter", tmp_path / "merged")
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["tie_word_embeddings"] is False
    tensors = load_file(tmp_path / "merged" / "model.safetensors")
    assert not torch.equal(tensors["lm_head.weight"], tensors["model.embed_tokens.weight"])


def test_a_merge_keeps_the_bases_files_byte_by_byte(folder: Path, adapter: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / "base").mkdir(exist_ok=True)
        (tmp_path / "base" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "base" / "additional_chat_templates").mkdir()
    (tmp_path / "base" / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    (tmp_path / "base" / "special_tokens_map.json").write_text("{}")
    merge_folders(tmp_path / "base", adapter, tmp_path / "merged")
    before, after = tmp_path / "base", tmp_path / "merged"
    names = {path.relative_to(before) for path in before.rglob("*") if path.is_file()}
    assert names == {path.relative_to(after) for path in after.rglob("*") if path.is_file()}
    assert all(
        (before / name).read_bytes() == (after / name).read_bytes() for name in names if name.suffix != ".safetensors"
    )
