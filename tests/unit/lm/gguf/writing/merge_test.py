"""Merges a few rows at a time: number types, several files, and what changes nothing."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.lm.adapters import LoraSettings, add_lora, save_adapter
from services.lm.conversion import merge
from services.lm.conversion.merge import MergedTensor, merge_folders
from services.lm.conversion.writing.model_folder import write_weights
from services.lm.conversion.writing.stored_tensors import StoredTensor, tensors_of_folder
from services.lm.errors import AdapterMismatch, InvalidModelFile, LmError
from services.lm.folders.publish import published
from services.lm.loading import load
from services.lm.tiny import write_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merge") / "base"
    write_tiny_model(folder, num_layers=2)
    return folder


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merge") / "adapter"
    model = add_lora(load(base, dtype="float32").model, LoraSettings(r=4, target_modules=("q_proj", "up_proj")), seed=1)
    # A change of a number next to zero is one in every type.
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1, generator=source)
    save_adapter(model, folder)
    return folder


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No merge here may need the whole model."""

    def fail(*_: object) -> None:
        raise AssertionError("the merge loads the model")

    monkeypatch.setattr(merge, "_merge_in_memory", fail)


@pytest.mark.parametrize("number_type", ["BF16", "F16", "F32"])
@pytest.mark.usefixtures("without_memory")
def test_a_merge_rounds_float32_sums_once(base: Path, adapter: Path, tmp_path: Path, number_type: str) -> None:
    merge_folders(base, adapter, tmp_path / "out", number_type=number_type)
    expected = load(base, dtype="float32", adapter=adapter).model.state_dict()
    dtype = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}[number_type]
    for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items():
        assert tensor.dtype == dtype
        exact = expected[name].to(dtype)
        # Another order of the same sum may round to the neighbour.
        assert torch.allclose(tensor.float(), exact.float(), rtol=1e-2 if dtype == torch.bfloat16 else 2e-3, atol=1e-6)
        assert (tensor == exact).float().mean() > (0.4 if dtype == torch.float32 else 0.98)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert {config[key] for key in ("dtype", "torch_dtype") if key in config} == {str(dtype).removeprefix("torch.")}


def test_large_weights_are_parted_with_an_index_and_load_as_one(base: Path, tmp_path: Path) -> None:
    stored = tensors_of_folder(base)
    for file in base.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, tmp_path)
    steps: list[tuple[int, int]] = []
    write_weights(tmp_path, stored, lambda done, total: steps.append((done, total)), shard_bytes=100_000)
    names = sorted(file.name for file in tmp_path.glob("*.safetensors"))
    assert len(names) > 2 and names[0] == f"model-00001-of-{len(names):05}.safetensors"
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    total = sum(tensor.num_bytes for tensor in stored.values())
    assert index["metadata"]["total_size"] == total and steps[-1] == (total, total)
    before, after = load(base, dtype="float32").model.state_dict(), load(tmp_path, dtype="float32").model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.usefixtures("without_memory")
def test_an_adapter_that_changes_nothing_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    untrained = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    file = untrained / "adapter_model.safetensors"
    save_file({name: tensor * ("lora_A" in name) for name, tensor in load_file(file).items()}, file)
    with pytest.raises(AdapterMismatch, match="changes nothing"):
        merge_folders(base, untrained, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_changes_nothing_of_a_model_in_memory_is_refused(base: Path, tmp_path: Path) -> None:
    parted = add_lora(load(base, dtype="float32").model, LoraSettings(r=4, target_modules=("k_proj",)), seed=1)
    save_adapter(parted, tmp_path / "adapter")
    with pytest.raises(AdapterMismatch, match="changes nothing"):
        merge._merge_in_memory(base, tmp_path / "adapter", tmp_path / "out", "")


@pytest.mark.usefixtures("without_memory")
def test_a_change_that_the_number_type_cannot_hold_is_none(base: Path, adapter: Path, tmp_path: Path) -> None:
    faint = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    file = faint / "adapter_model.safetensors"
    # The base is rounded, so that the merge starts from numbers that the type holds.
    merge_folders(base, adapter, tmp_path / "rounded", number_type="BF16")
    scaled = {n: t * (1e-7 if "lora_B" in n else 1) for n, t in load_file(file).items()}
    save_file(scaled, file)
    with pytest.raises(AdapterMismatch, match="F32, which keeps small changes"):
        merge_folders(tmp_path / "rounded", faint, tmp_path / "out", number_type="BF16")
    merge_folders(tmp_path / "rounded", faint, tmp_path / "out", number_type="F32")


def test_what_is_not_adapted_is_copied_byte_by_byte(base: Path) -> None:
    (tensor,) = [tensor for name, tensor in tensors_of_folder(base).items() if name == "model.norm.weight"]
    merged = MergedTensor("model.norm.weight", tensor, None, tensor.dtype, set())
    assert merged.content(0, tensor.shape[0]) == tensor.content(0, tensor.shape[0])


def test_a_merge_into_a_number_type_of_gguf_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match=r"'Q8_0'.*F32, F16, BF16"):
        merge_folders(base, adapter, tmp_path / "out", number_type="Q8_0")


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(tmp_path: Path) -> None:
    problem = r"1000000\.00 GB are needed, and the disk has .* GB free"
    with pytest.raises(LmError, match=problem), published(tmp_path / "out", num_bytes=10**15):
        raise AssertionError("it begins")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff" * 40, "longer than the file"),
        (b"\x02\0\0\0\0\0\0\0[]", "damaged"),
        (b'\x0d\0\0\0\0\0\0\0{"a":{"b":1}}', "damaged"),
        (b'\x37\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}} \0', "shorter"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InvalidModelFile, match=problem) as refusal:
        tensors_of_folder(tmp_path)
    assert refusal.value.place == "model.safetensors"


def test_a_file_that_becomes_shorter_is_refused(base: Path, tmp_path: Path) -> None:
    shutil.copy(base / "model.safetensors", tmp_path)
    tensors: list[StoredTensor] = list(tensors_of_folder(tmp_path).values())
    with (tmp_path / "model.safetensors").open("r+b") as stream:
        stream.truncate(tensors[-1].offset + 8)
    with pytest.raises(InvalidModelFile, match="ends within a tensor"):
        tensors[-1].rows(0, tensors[-1].shape[0])
