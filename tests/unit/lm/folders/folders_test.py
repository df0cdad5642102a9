import json
import pickle
from pathlib import Path

import pytest
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
