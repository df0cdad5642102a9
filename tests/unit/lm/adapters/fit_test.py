"""Whether an adapter from elsewhere is one for a model, told by names and shapes alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from services.lm.adapters import LoraSettings, add_lora, save_adapter
from services.lm.adapters.lora import check_adapter
from services.lm.errors import AdapterMismatch
from services.lm.tiny import write_tiny_model

_WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fit") / "model"
    write_tiny_model(path)
    return path


def without_memory(folder: Path) -> PreTrainedModel:
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    return model


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    model = add_lora(AutoModelForCausalLM.from_pretrained(folder), LoraSettings(r=2), seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    save_adapter(model, tmp_path / "adapter", base="lab/tiny")
    return tmp_path / "adapter"


def change(adapter: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, adapter / _WEIGHTS)


def test_an_adapter_of_the_model_fits(folder: Path, adapter: Path) -> None:
    check_adapter(without_memory(folder), adapter)
    # Whatever trainers and compilers put before a module's name.
    wrapped = {f"_orig_mod.module.{name}": tensor for name, tensor in load_file(adapter / _WEIGHTS).items()}
    change(adapter, wrapped)
    check_adapter(without_memory(folder), adapter)


def test_an_adapter_of_another_width_is_refused_with_both_shapes(adapter: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "wide", hidden_size=128)
    with pytest.raises(AdapterMismatch, match=r"shape \(2, 128\), the model needs \(2, 256\)"):
        check_adapter(without_memory(tmp_path / "wide"), adapter)


def test_keys_that_would_change_nothing_are_named(folder: Path, adapter: Path) -> None:
    tensors = load_file(adapter / _WEIGHTS)
    stray = {f"base_model.model.vision.{name}": tensor.clone() for name, tensor in list(tensors.items())[:1]}
    change(adapter, tensors | stray)
    with pytest.raises(AdapterMismatch, match="no place in the model: vision"):
        check_adapter(without_memory(folder), adapter)


def test_an_adapter_that_adds_zeros_alone_is_refused(folder: Path, adapter: Path) -> None:
    zeros = {
        name: torch.zeros_like(tensor) if "lora_B" in name else tensor
        for name, tensor in load_file(adapter / _WEIGHTS).items()
    }
    change(adapter, zeros)
    with pytest.raises(AdapterMismatch, match="it changes nothing") as refusal:
        check_adapter(without_memory(folder), adapter)
    assert "lora_B" in refusal.value.place
