import hashlib
import json
from pathlib import Path

import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, NotFound
from services.registry.ollama.names import parse_name
from services.registry.ollama.store import (
    OllamaModel,
    config_of,
    find_in_store,
    publish_to_store,
    read_store,
    write_store,
)

WEIGHTS = b"GGUF" + bytes(range(256)) * 40


async def ignore(_done: int, _total: int) -> None: ...


def write_artifact(folder: Path, weights: bytes = WEIGHTS) -> Path:
    gguf = folder.with_suffix(".gguf")
    gguf.write_bytes(weights)
    model = OllamaModel(
        gguf,
        config_of("llama", 134_515_008, "Q8_0", parser="qwen3-coder"),
        template="{{ range .Messages }}{{ .Content }}{{ end }}",
        system="Be brief.",
        parameters={"stop": ["<|im_end|>", "é"], "num_ctx": 1 << 20},
        licenses=("Apache-2.0",),
    )
    write_store(folder, "roo:q8_0", model)
    return folder


def test_a_store_folder_holds_every_part_under_its_digest(tmp_path: Path) -> None:
    model = read_store(write_artifact(tmp_path / "store"))
    assert str(model.name) == "registry.ollama.ai/library/roo:q8_0"
    assert [layer.kind for layer in model.manifest.layers] == ["model", "template", "system", "params", "license"]
    assert json.loads(model.text("params")) == {"stop": ["<|im_end|>", "é"], "num_ctx": 1 << 20}
    config = json.loads(model.path_of(model.manifest.config).read_text())
    assert (config["model_type"], config["file_type"], config["parser"]) == ("134.52M", "Q8_0", "qwen3-coder")
    for blob in (tmp_path / "store" / "blobs").iterdir():
        assert blob.name == f"sha256-{hashlib.sha256(blob.read_bytes()).hexdigest()}"


async def test_publishing_adds_a_model_beside_others_and_a_repeat_changes_nothing(tmp_path: Path) -> None:
    source, store = write_artifact(tmp_path / "new"), tmp_path / "models"
    await publish_to_store(write_artifact(tmp_path / "old", b"other"), "mine/old", _folder(store), progress=ignore)
    for _ in range(2):
        place = await publish_to_store(source, "mine/roo:1", store, progress=ignore)
    published = find_in_store(store, place)
    assert published and published.content == read_store(source).content
    assert {path.name for path in store.rglob("*") if path.is_file()} >= {"1", "latest"}
    assert not list(store.rglob(".*"))


async def test_another_model_of_the_name_gives_way_only_when_asked(tmp_path: Path) -> None:
    store = _folder(tmp_path / "models")
    old, new = write_artifact(tmp_path / "old", b"other"), write_artifact(tmp_path / "new")
    await publish_to_store(old, "roo", store, progress=ignore)
    with pytest.raises(AlreadyExists, match="has a model"):
        await publish_to_store(new, "roo", store, progress=ignore)
    assert _published(store, "roo") == read_store(old).content
    await publish_to_store(new, "roo", store, replace=True, progress=ignore)
    assert _published(store, "roo") == read_store(new).content


async def test_a_damaged_blob_in_the_store_is_replaced_and_one_in_the_source_is_never_visible(tmp_path: Path) -> None:
    source, store = write_artifact(tmp_path / "new"), _folder(tmp_path / "models")
    weights = read_store(source).manifest.layers[0]
    (store / "blobs").mkdir()
    (store / "blobs" / weights.file_name).write_bytes(WEIGHTS[:-1] + b"x")
    await publish_to_store(source, "roo", store, progress=ignore)
    assert (store / "blobs" / weights.file_name).read_bytes() == WEIGHTS

    damaged = tmp_path / "models2"
    blob = source / "blobs" / weights.file_name
    blob.unlink()
    blob.write_bytes(WEIGHTS[:-1] + b"x")
    with pytest.raises(FailedPrecondition, match="not what its name says"):
        await publish_to_store(source, "roo", _folder(damaged), progress=ignore)
    assert not [path for path in damaged.rglob("*") if path.is_file()]


async def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder"):
        await publish_to_store(write_artifact(tmp_path / "new"), "roo", tmp_path / "none", progress=ignore)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _published(store: Path, name: str) -> bytes:
    model = find_in_store(store, parse_name(name))
    assert model
    return model.content
