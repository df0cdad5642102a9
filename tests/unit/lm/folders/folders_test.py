import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.lm.errors import InvalidModelFile
from services.lm.folders import check_model_folder, folder_digest
from services.lm.loading import load
from services.lm.tiny import write_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, name: str, **changes: object) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_plain_folder_passes_and_tells_its_type(folder: Path) -> None:
    assert check_model_folder(folder)["model_type"] == "llama"


@pytest.mark.parametrize(
    "change",
    [
        {"auto_map": {"AutoModel": "evil.Model"}},
        {"nested": [{"deep": {"trust_remote_code": True}}]},
        {"_attn_implementation": "someone/kernel"},
        {"_attn_implementation_internal": "someone/kernel"},
    ],
)
def test_a_config_that_could_run_code_is_refused(folder: Path, change: dict[str, object]) -> None:
    rewrite(folder, "config.json", **change)
    with pytest.raises(InvalidModelFile, match="foreign code"):
        check_model_folder(folder)


def test_a_tokenizer_config_that_could_run_code_is_refused(folder: Path) -> None:
    rewrite(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    with pytest.raises(InvalidModelFile, match="foreign code"):
        check_model_folder(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_evil.py", "weights.PKL", "sub/state.pt"])
def test_a_file_that_can_run_code_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")
    with pytest.raises(InvalidModelFile, match="can run code"):
        check_model_folder(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "notes.txt").symlink_to("/etc/hostname")
    with pytest.raises(InvalidModelFile, match="out of the folder"):
        check_model_folder(folder)


def test_a_chat_template_beyond_any_real_size_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("x" * (10 << 20))
    with pytest.raises(InvalidModelFile, match="chat template"):
        check_model_folder(folder)


@pytest.mark.parametrize("content", [pickle.dumps({"weights": 1}), b"", b"\xff" * 64, b"PK\x03\x04" + b"\0" * 200])
def test_weights_that_are_not_safetensors_are_refused_by_content(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InvalidModelFile):
        load(folder)


def test_missing_tensors_are_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidModelFile, match="missing") as refusal:
        load(folder)
    assert refusal.value.place == "model.norm.weight"


def test_weights_of_more_layers_than_the_configuration_tells_are_refused(folder: Path) -> None:
    layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    rewrite(folder, "config.json", num_hidden_layers=layers - 1)
    with pytest.raises(InvalidModelFile, match="belongs to another model") as refusal:
        load(folder)
    assert refusal.value.place.startswith(f"model.layers.{layers - 1}.")


@pytest.mark.parametrize("name", ["self_attn.q_proj.bias", "self_attn.q_norm.weight"])
def test_a_part_of_a_layer_that_the_model_would_leave_out_is_refused(folder: Path, name: str) -> None:
    file = folder / "model.safetensors"
    save_file(load_file(file) | {f"model.layers.0.{name}": torch.ones(64)}, file, metadata={"format": "pt"})
    with pytest.raises(InvalidModelFile, match="belongs to another model") as refusal:
        load(folder)
    assert refusal.value.place.endswith(name)


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "mtp.layers.0.mlp.up_proj.weight"])
def test_tensors_that_no_answer_depends_on_are_no_obstacle(folder: Path, name: str) -> None:
    file = folder / "model.safetensors"
    save_file(load_file(file) | {name: torch.ones(8)}, file, metadata={"format": "pt"})
    load(folder)


def test_layers_that_are_announced_to_guess_ahead_are_no_obstacle(folder: Path) -> None:
    layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    rewrite(folder, "config.json", num_nextn_predict_layers=1)
    file = folder / "model.safetensors"
    ahead = {f"model.layers.{layers}.mlp.up_proj.weight": torch.ones(8, 8)}
    save_file(load_file(file) | ahead, file, metadata={"format": "pt"})
    load(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantized_weights_without_their_settings_are_refused(folder: Path, dtype: torch.dtype) -> None:
    file = folder / "model.safetensors"
    tensors = {name: tensor.to(dtype) if "up_proj" in name else tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(InvalidModelFile, match="no quantization") as refusal:
        load(folder)
    assert "up_proj" in refusal.value.place


def test_a_tensor_in_two_parts_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    name, *others = tensors
    parts = {"model-00001-of-00002.safetensors": tensors, "model-00002-of-00002.safetensors": {name: tensors[name] * 0}}
    for part, some in parts.items():
        save_file(some, folder / part, metadata={"format": "pt"})
    places = dict.fromkeys(others, "model-00001-of-00002.safetensors") | {name: "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    with pytest.raises(InvalidModelFile, match=r"model-00001.* and in model-00002") as refusal:
        load(folder)
    assert refusal.value.place == name


def test_a_quantization_that_is_not_installed_is_refused(folder: Path) -> None:
    rewrite(folder, "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    with pytest.raises(InvalidModelFile, match="bitsandbytes"):
        load(folder)


def test_broken_json_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{not json")
    with pytest.raises(InvalidModelFile) as refusal:
        check_model_folder(folder)
    assert refusal.value.place == "config.json"


def test_the_digest_depends_on_content_and_names_only(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "one")
    write_tiny_model(tmp_path / "two")
    write_tiny_model(tmp_path / "other", seed=1)
    assert folder_digest(tmp_path / "one") == folder_digest(tmp_path / "two")
    assert folder_digest(tmp_path / "one") != folder_digest(tmp_path / "other")
