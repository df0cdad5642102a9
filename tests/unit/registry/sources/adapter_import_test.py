"""Adapters made elsewhere find the weights that they are loaded on."""

import asyncio
import json
from pathlib import Path

import pytest

from services.chassis.errors import AlreadyExists, InvalidArgument
from services.chassis.jobs import Job, JobState
from services.registry.domain.model import ModelVersionKind
from services.registry.domain.model_import import IMPORT_KIND
from services.registry.jobs.adapter_base import AdapterBases
from services.registry.usecases.model import JobUses
from tests.unit.registry.model_folders import write_adapter, write_model
from tests.unit.registry.sources.imports import Registry


def problem(job: Job) -> str:
    assert (job.state, job.result) == (JobState.FAILED, None) and job.error is not None
    return f"{job.error.problem} {job.error.next_step}"


async def test_an_adapter_becomes_a_version_made_from_its_base(registry: Registry, tmp_path: Path) -> None:
    await registry.run("smollm2-135m", write_model(tmp_path / "base"))
    folder = write_adapter(tmp_path / "adapter", base_model_name_or_path="lab/SmolLM2-135M")
    # What trainers leave beside an adapter, and what the hub shows of it.
    (folder / "training_args.bin").write_bytes(b"\x80\x04")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-nd-4.0\n---\n# An adapter\n")
    job = await registry.run("drilled", folder)
    assert job.result == {"model_version_id": "drilled@1"}
    adapter, base = await registry.versions()
    assert (adapter.kind, adapter.base_model_version_id) == (ModelVersionKind.ADAPTER, base.version_id)
    assert (adapter.facts.architecture, adapter.facts.num_parameters) == ("llama", 16)
    assert registry.importer.bases == [await registry.artifacts.local_path(base.artifact.uri)]
    notes = " ".join((await registry.imports.resource.get(job.job_id)).notes)
    assert "training_args.bin" in notes and "forbids derivatives" in notes and "Its base is smollm2-135m@1" in notes
    (kept,) = [path for path in (registry.root / "artifacts").glob("trees/*/*/files") if (path / _SETTINGS).exists()]
    assert {file.name for file in kept.iterdir()} == {_SETTINGS, "adapter_model.safetensors"}


_SETTINGS = "adapter_config.json"


@pytest.mark.parametrize("words", ["tiny@1", "digest", "path", "exported"])
async def test_a_base_is_found_by_its_id_its_digest_and_where_it_came_from(
    registry: Registry, tmp_path: Path, words: str
) -> None:
    folder = write_model(tmp_path / "base")
    await registry.run("tiny", folder)
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    await registry.run("tiny", folder)
    newest, oldest = await registry.versions()
    digest = oldest.artifact.digest
    names = {"digest": f"/data/trees/{digest[7:]}/files", "path": str(folder), "exported": "tiny"}
    adapter = write_adapter(tmp_path / "adapter", base_model_name_or_path=names.get(words, words))
    if words == "exported":
        (adapter / "drillyard.json").write_text(json.dumps({"base_digest": digest}))
    job = await registry.run("drilled", adapter)
    (note,) = (await registry.imports.resource.get(job.job_id)).notes
    assert ("by the digest in its drillyard.json" in note) == (words == "exported")
    base = (await registry.versions())[0].base_model_version_id
    assert base == (newest if words == "path" else oldest).version_id


async def test_a_base_that_the_caller_names_goes_before_the_adapter_s_words(registry: Registry, tmp_path: Path) -> None:
    for model_id in ("tiny", "other"):
        await registry.run(model_id, write_model(tmp_path / model_id, vocab_size=len(model_id)))
    folder = write_adapter(tmp_path / "adapter", base_model_name_or_path="tiny")
    assert (await registry.run("drilled", folder, "other@1")).state is JobState.SUCCEEDED
    assert (await registry.versions())[0].base_model_version_id == "other@1"
    # An adapter is no weights that another one is loaded on.
    assert "kind adapter" in problem(await registry.run("drilled", folder, "drilled@1"))


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("", "trained on 'lab/unknown', of which no full weights are registered. Import its base first"),
        ("x@1", "no model version 'x@1'"),
    ],
)
async def test_an_adapter_without_its_base_is_refused(
    registry: Registry, tmp_path: Path, base: str, words: str
) -> None:
    folder = write_adapter(tmp_path / "adapter", base_model_name_or_path="lab/unknown")
    assert words in problem(await registry.run("drilled", folder, base))
    assert await registry.versions() == []


@pytest.mark.parametrize(
    ("fitting", "words"),
    [
        (("a@1",), "Its settings name no base; it fits a@1"),
        (("a@1", "b@1"), "name no base. By its tensors' shapes it fits b@1, a@1. Import its base"),
        ((), "name no base. Import its base first"),
    ],
)
async def test_a_base_that_is_not_named_is_found_by_shapes_or_suggested(
    registry: Registry, tmp_path: Path, fitting: tuple[str, ...], words: str
) -> None:
    for size, model_id in enumerate(("a", "b"), 1):
        await registry.run(model_id, write_model(tmp_path / model_id, vocab_size=size))
    versions = {version.version_id: version for version in await registry.versions()}
    paths = {await registry.artifacts.local_path(versions[name].artifact.uri) for name in fitting}
    registry.importer.misfits = lambda base: base not in paths
    folder = write_adapter(tmp_path / "adapter", base_model_name_or_path=None)
    (folder / "training_args.bin").write_bytes(b"\x80\x04")
    job = await registry.run("drilled", folder)
    notes = (await registry.imports.resource.get(job.job_id)).notes
    assert words in (" ".join(notes) if len(fitting) == 1 else problem(job))
    # Where what a killed process leaves behind is removed.
    assert all(adapter.is_relative_to(tmp_path / "imports") for adapter in registry.importer.adapters)
    assert registry.importer.adapters and registry.leftovers() == []


async def test_an_adapter_that_does_not_fit_is_not_registered(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_self: AdapterBases, _base: object, _adapter: Path) -> None:
        raise InvalidArgument("Tensors have no place: base_model.model.x.", "Choose its own base.")

    monkeypatch.setattr(AdapterBases, "check_fit", refuse)
    await registry.run("tiny", write_model(tmp_path / "base"))
    job = await registry.run("drilled", write_adapter(tmp_path / "adapter", base_model_name_or_path="tiny"))
    assert "base_model.model.x" in problem(job)
    assert (len(await registry.versions()), len(registry.kept()), registry.leftovers()) == (1, 1, [])


@pytest.mark.parametrize("base", ["", "tiny@1"])
async def test_the_base_of_a_running_import_is_in_use(registry: Registry, tmp_path: Path, base: str) -> None:
    await registry.run("tiny", write_model(tmp_path / "base"))
    registry.importer.entered.clear()
    registry.importer.is_open.clear()
    folder = write_adapter(tmp_path / "adapter", base_model_name_or_path="tiny")
    running = asyncio.create_task(registry.run("drilled", folder, base))
    await registry.importer.entered.wait()
    uses = JobUses(registry.jobs, (IMPORT_KIND,))
    users = await uses.users_of("tiny@1")
    registry.importer.is_open.set()
    assert users == [f"the import {(await running).job_id}"]
    assert await uses.users_of("tiny@1") == []


async def test_a_name_holds_versions_of_one_kind(registry: Registry, tmp_path: Path) -> None:
    await registry.run("tiny", write_model(tmp_path / "base"))
    folder = write_adapter(tmp_path / "adapter", base_model_name_or_path="tiny")
    words = "The model tiny holds versions of kind base, not adapter. Choose another name."
    # Without a base only the files tell what they are.
    assert problem(await registry.run("tiny", folder)) == words
    with pytest.raises(AlreadyExists, match="kind base, not adapter"):
        await registry.run("tiny", folder, "tiny@1")
    await registry.run("drilled", folder)
    assert "kind adapter, not base" in problem(await registry.run("drilled", tmp_path / "base"))
    assert "kind adapter, not base" in problem(await registry.run("drilled", write_model(tmp_path / "b", vocab_size=1)))
    assert len(await registry.versions()) == 2


async def test_full_weights_have_no_base_and_lie_in_a_folder_of_their_own(registry: Registry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "base")
    await registry.run("tiny", folder)
    assert "Full weights have no base" in problem(await registry.run("other", folder, "tiny@1"))
    write_adapter(folder)
    assert "adapter beside full weights" in problem(await registry.run("tiny", folder))
