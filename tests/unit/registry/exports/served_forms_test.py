"""Versions in forms that other programs serve: what they are made of, what their files say, what is refused."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument
from services.registry.domain.model import ModelFacts, ModelVersion, ModelVersionDraft, ModelVersionKind, check_base
from services.registry.importers.inspection import FolderFacts
from tests.unit.registry.exports.served_folders import write_gguf, write_store

K = ModelVersionKind
SERVED = (K.GGUF, K.GGUF_ADAPTER, K.OLLAMA)


def version(kind: ModelVersionKind) -> ModelVersion:
    draft = ModelVersionDraft(
        request_id="r",
        model_id="tiny",
        kind=kind,
        base_model_version_id="" if kind is K.BASE else "weights@1",
        artifact=Artifact("file:///a", "sha256:" + "0" * 64, 1),
        source=None,
        produced_by="",
        facts=ModelFacts("llama", 1, 1),
    )
    return ModelVersion.of(draft, 1, datetime.now(UTC))


@pytest.mark.parametrize("base", SERVED)
@pytest.mark.parametrize("kind", [kind for kind in K if kind is not K.BASE])
def test_nothing_but_an_ollama_form_of_a_gguf_is_made_of_a_served_form(
    kind: ModelVersionKind, base: ModelVersionKind
) -> None:
    draft = replace(version(kind), base_model_version_id="tiny@1")
    if (kind, base) == (K.OLLAMA, K.GGUF):
        check_base(draft, version(base))
        return
    with pytest.raises(InvalidArgument, match=f"of kind {base.value}") as refusal:
        check_base(draft, version(base))
    assert "weights@1" in refusal.value.next_step


@pytest.mark.parametrize("base", [K.BASE, K.ADAPTER, K.MERGED, K.TRAINED])
@pytest.mark.parametrize("kind", SERVED)
def test_a_served_form_is_made_of_the_version_that_was_exported(kind: ModelVersionKind, base: ModelVersionKind) -> None:
    check_base(replace(version(kind), base_model_version_id="tiny@1"), version(base))


async def test_what_served_forms_say_is_read_from_their_gguf(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "gguf" / "model.gguf")
    write_gguf(tmp_path / "adapter" / "adapter.gguf", is_adapter=True)
    write_store(tmp_path / "store", model)
    files = FolderFacts()
    assert await files.facts_of(tmp_path / "gguf", K.GGUF) == ModelFacts("llama", 8, 512)
    assert await files.facts_of(tmp_path / "adapter", K.GGUF_ADAPTER) == ModelFacts("llama", 8, 0)
    assert await files.facts_of(tmp_path / "store", K.OLLAMA) == ModelFacts("llama", 8, 512)


async def test_a_folder_of_another_form_is_refused(tmp_path: Path) -> None:
    files = FolderFacts()
    model = write_gguf(tmp_path / "gguf" / "model.gguf")
    with pytest.raises(InvalidArgument, match=r"adapter\.gguf: The file is missing"):
        await files.facts_of(model.parent, K.GGUF_ADAPTER)
    write_gguf(tmp_path / "other" / "model.gguf", is_adapter=True)
    with pytest.raises(InvalidArgument, match="holds no model"):
        await files.facts_of(tmp_path / "other", K.GGUF)
    store = write_store(tmp_path / "store", model)
    short = max((store / "blobs").iterdir(), key=lambda blob: blob.stat().st_size)
    short.write_bytes(short.read_bytes()[:-1])
    with pytest.raises(InvalidArgument, match="A blob is missing or of another size"):
        await files.facts_of(store, K.OLLAMA)
    shutil.rmtree(store / "manifests")
    with pytest.raises(InvalidArgument, match="does not hold one manifest"):
        await files.facts_of(store, K.OLLAMA)
