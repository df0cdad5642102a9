"""An adapter from elsewhere is compared with its base in a process of its own, under limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.chassis.errors import InvalidArgument
from services.registry.importers.adapter import check_fit
from tests.unit.registry.model_folders import write_adapter, write_model, write_safetensors

SIZES = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 16}


async def test_an_adapter_that_adds_zeros_is_refused_by_the_name_of_its_tensor(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", **SIZES)
    adapter = write_adapter(tmp_path / "adapter", lora_alpha=4, target_modules=["q_proj"])
    place = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    tensors = {f"{place}A.weight": (2, 64), f"{place}B.weight": (64, 2)}
    write_safetensors(adapter / "adapter_model.safetensors", tensors)
    with pytest.raises(InvalidArgument, match=r"q_proj\.lora_B\.weight: All 1 tensors .* it changes nothing"):
        await check_fit(base, adapter)
