"""Imports of GGUF files: all parts are taken along, none from outside the allowed folders, and none that changed."""

import hashlib
from pathlib import Path

import pytest

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.registry.domain.model import ModelVersionKind
from services.registry.domain.model_import import InspectedSource
from services.registry.importers.gguf import GgufImporter
from services.registry.importers.inspection import FolderFacts
from services.registry.importers.sources.local import GgufPath
from tests.unit.lm.gguf.models import write, write_split


async def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


async def identified(value: Path) -> tuple[InspectedSource, Artifact]:
    importer = GgufImporter()
    source = await importer.inspect(GgufPath().locate(str(value)))
    return source, await importer.identify(source, silent)


async def imported(value: Path, out: Path, importer: GgufImporter | None = None) -> InspectedSource:
    importer = importer or GgufImporter()
    source = await importer.inspect(GgufPath().locate(str(value)))
    await importer.write(source, out, silent)
    return source


async def test_whichever_part_is_named_all_parts_are_the_source(tmp_path: Path) -> None:
    parts = write_split(tmp_path / "parts")
    first, origin = await identified(parts[0])
    last, same = await identified(parts[2])
    assert first.files == last.files == tuple(parts)
    assert origin == same
    assert origin.uri == parts[0].as_uri()
    assert origin.size_bytes == sum(part.stat().st_size for part in parts)
    await GgufImporter().write(last, tmp_path / "out", silent)
    facts = await FolderFacts().facts_of(tmp_path / "out", ModelVersionKind.BASE)
    assert (facts.architecture, facts.context_length) == ("llama", 256)
    assert (tmp_path / "out" / "model.safetensors").stat().st_size <= first.written_bytes + 64 * 1024


async def test_a_whole_file_keeps_its_own_digest(tmp_path: Path) -> None:
    source, origin = await identified(write(tmp_path / "m.gguf"))
    assert source.files == (tmp_path / "m.gguf",)
    content = (tmp_path / "m.gguf").read_bytes()
    assert (origin.size_bytes, origin.digest) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")


async def test_another_part_is_another_source(tmp_path: Path) -> None:
    parts = write_split(tmp_path / "parts")
    others = write_split(tmp_path / "others", architecture="qwen2")
    (_, origin), (_, other) = await identified(parts[0]), await identified(others[0])
    assert origin.digest != other.digest


async def test_parts_in_a_cache_of_links_are_found_by_the_names_of_the_links(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    for index, part in enumerate(write_split(tmp_path / "parts")):
        blob = part.rename(tmp_path / "blobs" / f"{index:x}")
        (tmp_path / "snapshot" / part.name).symlink_to(blob)
    named = sorted((tmp_path / "snapshot").iterdir())
    source = await imported(named[1], tmp_path / "out", GgufImporter())
    assert source.files == tuple(named)


async def test_a_part_outside_the_allowed_folders_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    parts = write_split(tmp_path / "in")
    outside = parts[2].rename(tmp_path / "secret")
    parts[2].symlink_to(outside)
    with pytest.raises(InvalidArgument, match="outside the folders"):
        GgufPath((tmp_path / "in",)).locate(str(parts[0]))


async def test_a_part_that_is_no_file_is_refused(tmp_path: Path) -> None:
    parts = write_split(tmp_path / "in")
    parts[2].unlink()
    parts[2].mkdir()
    with pytest.raises(InvalidArgument, match="not a regular file"):
        GgufPath().locate(str(parts[0]))


async def test_a_missing_part_is_named_at_once(tmp_path: Path) -> None:
    parts = write_split(tmp_path / "in")
    parts[1].unlink()
    importer = GgufImporter()
    with pytest.raises(InvalidArgument, match="00002-of-00003"):
        await importer.inspect(GgufPath().locate(str(parts[0])))


async def test_a_second_part_that_changes_meanwhile_is_seen(tmp_path: Path) -> None:
    parts = write_split(tmp_path / "in")
    importer = GgufImporter()
    source = await importer.inspect(GgufPath().locate(str(parts[0])))
    parts[1].write_bytes(parts[1].read_bytes())
    with pytest.raises(FailedPrecondition):
        await importer.write(source, tmp_path / "out", silent)


async def test_a_template_for_functions_reaches_the_stored_model(tmp_path: Path) -> None:
    file = write(tmp_path / "m.gguf", facts={"tokenizer.chat_template.tool_use": "for functions"})
    await imported(file, tmp_path / "out")
    await FolderFacts().facts_of(tmp_path / "out", ModelVersionKind.BASE)
    stored = await ArtifactStore((tmp_path / "artifacts").as_uri()).put_tree(tmp_path / "out")
    (kept,) = (tmp_path / "artifacts").rglob("tool_use.jinja")
    assert kept.read_text() == "for functions"
    assert kept.parent.name == "additional_chat_templates"
    assert stored.size_bytes > 0
