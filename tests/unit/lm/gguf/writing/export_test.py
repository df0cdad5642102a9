"""A folder written as GGUF and read back computes the same, with an adapter too; so does the adapter's own file."""

import json
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import load_file, save_file

from services.lm.adapters import LoraSettings, add_lora, save_adapter
from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.layout import inspect_gguf
from services.lm.conversion.writing import pipeline
from services.lm.conversion.writing.export import ADAPTER_FILE, MODEL_FILE, export_gguf, export_gguf_adapter
from services.lm.errors import AdapterMismatch, InvalidModelFile
from services.lm.loading import load
from services.lm.tiny import write_tiny_model
from tests.machine import PATIENCE_SECONDS
from tests.unit.lm.gguf.families_test import MODELS
from tests.unit.lm.gguf.folders import write_folder

pytestmark = pytest.mark.filterwarnings("ignore:.*(is_gradient_checkpointing|tied|tie_word_embeddings)")

LICENCE_KEYS = ("general.license", "general.license.name", "general.license.link")
IDS = torch.arange(3, 40)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "base"
    write_tiny_model(folder)
    return folder


def write_adapter(base: Path, out: Path, **settings: Any) -> Path:
    values: dict[str, Any] = {"r": 4, "target_modules": ("q_proj", "down_proj")}
    model = add_lora(load(base, dtype="float32").model, LoraSettings(**(values | settings)), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name and "magnitude" not in name:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    save_adapter(model, out)
    return out


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = load(folder, dtype="float32", adapter=adapter).model(input_ids=IDS).logits
    return result


@pytest.mark.parametrize("block_numbers", [1, 1 << 20], ids=("a head at a time", "whole tensors"))
def test_float32_comes_back_bit_by_bit(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_numbers: int
) -> None:
    monkeypatch.setattr(pipeline, "_BLOCK_NUMBERS", block_numbers)
    result = export_gguf(base, tmp_path / "out", "f32")
    assert [file.name for file in (tmp_path / "out").iterdir()] == [MODEL_FILE] and result["notes"] == []
    monkeypatch.setattr(pipeline, "_BLOCK_NUMBERS", 1 << 20 if block_numbers == 1 else 1)
    convert_gguf(tmp_path / "out" / MODEL_FILE, tmp_path / "back")
    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "back"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True, "rank_pattern": {"q_proj": 2}},
        {"use_dora": True},
        {"modules_to_save": ("norm",)},
        {"target_modules": ("lm_head", "q_proj")},
        {"init_lora_weights": "pissa"},
    ],
    ids=str,
)
def test_an_adapter_is_merged_on_the_way(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    adapter = write_adapter(base, tmp_path / "adapter", **settings)
    export_gguf(base, tmp_path / "out", "F32", adapter=adapter)
    convert_gguf(tmp_path / "out" / MODEL_FILE, tmp_path / "back")
    expected = logits(base, adapter)
    assert torch.allclose(logits(tmp_path / "back"), expected, atol=1e-4)
    assert not torch.allclose(logits(base), expected, atol=1e-2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "back", "out"]


@pytest.mark.parametrize("case", ["gpt2", "lfm2", "qwen2_moe"])
def test_what_lies_otherwise_in_a_folder_is_written_too_with_an_adapter(tmp_path: Path, case: str) -> None:
    model_type, settings = deepcopy(MODELS[case])
    write_folder(tmp_path / "base", model_type, **settings)
    targets = ("c_attn", "c_proj") if case == "gpt2" else ("q_proj",)
    for adapter in (None, write_adapter(tmp_path / "base", tmp_path / "adapter", target_modules=targets)):
        out = tmp_path / f"out-{bool(adapter)}"
        export_gguf(tmp_path / "base", out, "F32", adapter=adapter)
        convert_gguf(out / MODEL_FILE, out / "back")
        assert torch.allclose(logits(out / "back"), logits(tmp_path / "base", adapter), atol=1e-4)


@pytest.mark.parametrize("number", ["Q8_0", "Q4_K_M"])
def test_a_mixtures_experts_are_quantised_each(tmp_path: Path, number: str) -> None:
    # Rows of 256 numbers, which is what a block of Q4_K has.
    sizes = {"hidden_size": 256, "moe_intermediate_size": 256, "num_attention_heads": 2, "head_dim": 32}
    sizes |= {"num_hidden_layers": 1, "num_experts": 2}
    write_folder(tmp_path / "base", "qwen3_moe", **MODELS["qwen3_moe"][1] | sizes)
    export_gguf(tmp_path / "base", tmp_path / "out", number)
    tensors = {tensor.name: tensor for tensor in GGUFReader(tmp_path / "out" / MODEL_FILE).tensors}
    experts = tensors["blk.0.ffn_up_exps.weight"]
    assert experts.tensor_type.name == {"Q8_0": "Q8_0", "Q4_K_M": "Q4_K"}[number]
    # The choice of experts is kept exact.
    assert tensors["blk.0.ffn_gate_inp.weight"].tensor_type.name == "F32"
    stored = load_file(tmp_path / "base/model.safetensors")
    for index, values in enumerate(dequantize(experts.data, experts.tensor_type)):
        expected = stored[f"model.layers.0.mlp.experts.{index}.up_proj.weight"].numpy()
        assert np.abs(values - expected).max() < np.abs(expected).max() / 8


def test_an_adapter_that_changes_nothing_is_refused(base: Path, tmp_path: Path) -> None:
    file = write_adapter(base, tmp_path / "adapter") / "adapter_model.safetensors"
    save_file({name: tensor * ("lora_A" in name) for name, tensor in load_file(file).items()}, file)
    with pytest.raises(AdapterMismatch, match="changes nothing"):
        export_gguf(base, tmp_path / "out", "Q8_0", adapter=tmp_path / "adapter")
    assert not (tmp_path / "out").exists()


def test_the_adapters_own_file_has_its_product_at_the_scale_of_alpha(base: Path, tmp_path: Path) -> None:
    settings = {"use_rslora": True, "rank_pattern": {"down_proj": 2}, "target_modules": ("o_proj", "down_proj")}
    adapter = write_adapter(base, tmp_path / "adapter", **settings)
    export_gguf_adapter(base, adapter, tmp_path / "out")
    reader = GGUFReader(tmp_path / "out" / ADAPTER_FILE)
    facts = {key: field.contents() for key, field in reader.fields.items()}
    assert (facts["general.type"], facts["adapter.type"]) == ("adapter", "lora")
    tensors = {tensor.name: np.asarray(tensor.data) for tensor in reader.tensors}
    merged, plain = load(base, dtype="float32", adapter=adapter).model, load(base, dtype="float32").model
    for layer in (0, 1):
        for name, module in (("attn_output", "self_attn.o_proj"), ("ffn_down", "mlp.down_proj")):
            first, second = (tensors[f"blk.{layer}.{name}.weight.lora_{part}"] for part in "ab")
            # As llama.cpp scales it: by alpha over the rank of each pair.
            delta = second @ first * (facts["adapter.lora.alpha"] / len(first))
            place = f"model.layers.{layer}.{module}.weight"
            expected = merged.get_parameter(place) - plain.get_parameter(place)
            assert np.allclose(delta, expected.detach().numpy(), atol=1e-6)
    assert len(tensors) == 8


def test_substitutes_for_a_type_are_told(base: Path, tmp_path: Path) -> None:
    result = export_gguf(base, tmp_path / "out", "Q4_K_M")
    assert "15 of 15 matrices have rows that fill no blocks of 256 numbers" in result["notes"][0]
    reader = GGUFReader(tmp_path / "out" / MODEL_FILE)
    assert reader.fields["general.file_type"].contents() == 15
    assert {tensor.tensor_type.name for tensor in reader.tensors} == {"F32", "Q5_0", "Q8_0"}


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("apache-2.0", ["apache-2.0"]),
        ("lfm1.0 (https://a.example/L)", ["other", "lfm1.0", "https://a.example/L"]),
        ("Our own terms", ["other", "Our own terms"]),
        ("https://a.example/L", ["other", None, "https://a.example/L"]),
        ("", []),
    ],
)
def test_the_licence_stands_in_the_file_and_is_read_from_it(
    base: Path, tmp_path: Path, text: str, facts: list[str | None]
) -> None:
    export_gguf(base, tmp_path / "out", "F32", licence=text)
    file = tmp_path / "out" / MODEL_FILE
    fields = GGUFReader(file).fields
    written = [fields[key].contents() if key in fields else None for key in LICENCE_KEYS]
    assert written == [*facts, *[None] * (3 - len(facts))]
    assert inspect_gguf(file)["license"] == text


def test_the_process_tells_notes_and_progress(base: Path, tmp_path: Path) -> None:
    lines = run("export-gguf", base, tmp_path / "out", "--number-type", "Q8_0")
    assert lines[-1]["ok"] and lines[-1]["notes"] == []
    assert lines[-2]["event"] == "progress" and lines[-2]["done"] == lines[-2]["total"]


def test_a_model_that_gguf_cannot_express_is_refused_by_name(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"model_type": "rwkv"}))
    with pytest.raises(InvalidModelFile, match="rwkv"):
        export_gguf(tmp_path / "base", tmp_path / "out", "F16")
    with pytest.raises(InvalidModelFile, match="'Q2_K'"):
        export_gguf(base, tmp_path / "out", "Q2_K")


def run(*arguments: str | Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "services.lm.conversion", *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
    return [json.loads(line) for line in finished.stdout.splitlines()]
