"""A folder from outside holds one set of weights, whole; else it is refused by name."""

import json
from pathlib import Path

import pytest

from services.lm.errors import InvalidModelFile
from services.lm.folders import check_model_folder
from services.registry.importers.folder_inspection import inspect_source
from tests.unit.registry.model_folders import TENSORS, write_model, write_safetensors

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
NAMES = list(TENSORS)


def write_shards(folder: Path, *, weight_map: dict[str, str] | None = None) -> None:
    for file, name in ((FIRST, NAMES[0]), (SECOND, NAMES[1])):
        write_safetensors(folder / file, {name: TENSORS[name]})
    write_index(folder, weight_map or {NAMES[0]: FIRST, NAMES[1]: SECOND})


def write_index(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    write_shards(folder)
    return folder


def refusal_of(folder: Path) -> str:
    with pytest.raises(InvalidModelFile) as refusal:
        inspect_source(folder)
    assert refusal.value.next_step
    return f"{refusal.value.place} {refusal.value.problem}"


def test_shards_with_their_index_are_taken(sharded: Path) -> None:
    found = inspect_source(sharded)
    assert {FIRST, SECOND, "model.safetensors.index.json"} <= set(found["files"])
    assert found["num_parameters"] == 128
    assert check_model_folder(sharded)["model_type"] == "llama"


def test_an_index_that_names_the_single_file_is_no_second_set(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    write_index(folder, dict.fromkeys(NAMES, "model.safetensors"))
    assert inspect_source(folder)["num_parameters"] == 128


def test_a_single_file_beside_shards_is_refused_and_never_the_old_one_taken(sharded: Path) -> None:
    write_safetensors(sharded / "model.safetensors")
    assert "two sets of weights" in refusal_of(sharded)
    with pytest.raises(InvalidModelFile, match="two sets of weights"):
        check_model_folder(sharded)
    (sharded / "model.safetensors.index.json").unlink()
    assert FIRST in refusal_of(sharded)


@pytest.mark.parametrize(
    "name", ["model-00003-of-00003.safetensors", "adapter_model.safetensors", "model_1.safetensors"]
)
def test_weights_that_nothing_names_are_refused_by_name(sharded: Path, name: str) -> None:
    write_safetensors(sharded / name)
    assert name in refusal_of(sharded)


@pytest.mark.parametrize("name", [FIRST, "model.fp16.safetensors", "adapter_model.safetensors", "new.safetensors"])
def test_other_weights_beside_the_single_file_are_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "m")
    write_safetensors(folder / name)
    assert name in refusal_of(folder)


def test_missing_shards_are_named(sharded: Path) -> None:
    (sharded / SECOND).unlink()
    assert SECOND in refusal_of(sharded)
    (sharded / "model.safetensors.index.json").unlink()
    assert "index" in refusal_of(sharded)


def test_a_stale_index_beside_a_single_file_is_refused(sharded: Path) -> None:
    write_safetensors(sharded / "model.safetensors")
    for name in (FIRST, SECOND):
        (sharded / name).unlink()
    assert "two sets of weights" in refusal_of(sharded)


def test_only_the_makers_copy_is_no_model(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    assert "no safetensors" in refusal_of(folder)


def test_a_tensor_in_two_shards_is_named(sharded: Path) -> None:
    write_safetensors(sharded / SECOND, TENSORS)
    assert NAMES[0] in refusal_of(sharded)


def test_a_tensor_that_is_not_where_the_index_says_is_named(sharded: Path) -> None:
    write_index(sharded, {NAMES[0]: SECOND, NAMES[1]: FIRST})
    assert NAMES[0] in refusal_of(sharded)


@pytest.mark.parametrize(
    "weight_map", [{}, [], {"a": "../x.safetensors"}, {"a": "/etc/x.safetensors"}, {"a": "weights.bin"}, {"a": 1}, None]
)
def test_an_index_that_names_no_files_of_the_folder_is_refused(sharded: Path, weight_map: object) -> None:
    write_index(sharded, weight_map)
    assert "weight_map" in refusal_of(sharded)


def test_a_configuration_that_chooses_other_weights_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", transformers_weights="other.safetensors")
    assert "other.safetensors" in refusal_of(folder)
    assert inspect_source(write_model(tmp_path / "n", transformers_weights="model.safetensors"))["files"]


def test_an_adapter_beside_full_weights_is_not_loaded(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(InvalidModelFile, match="adapter"):
        check_model_folder(folder)
