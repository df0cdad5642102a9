"""What an import does, over memory stores and a real folder importer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from services.chassis.jobs import JobState, watch
from services.registry.importers.sources.local import FolderPath, GgufPath
from services.registry.importers.workspace import Workspace
from tests.machine import PATIENCE_SECONDS
from tests.unit.outages import break_often
from tests.unit.registry.model_folders import write_model
from tests.unit.registry.sources.imports import Gate, Registry


async def test_an_import_registers_a_base_version_with_both_digests(registry: Registry, tmp_path: Path) -> None:
    job = await registry.run("tiny", write_model(tmp_path / "m"))
    assert job.result == {"model_version_id": "tiny@1"}
    version = (await registry.versions())[0]
    assert version.source is not None
    assert version.source.uri == (tmp_path / "m").as_uri()
    assert version.source.digest != version.artifact.digest
    assert (version.produced_by, version.facts.num_parameters) == (f"import:{job.job_id}", 128)
    assert registry.leftovers() == []


async def test_an_import_keeps_the_licence_that_the_card_names(registry: Registry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "README.md").write_text("---\nlicense: cc-by-nd-4.0\n---\n")
    await registry.run("tiny", folder)
    assert [version.facts.licence for version in await registry.versions()] == ["cc-by-nd-4.0"]


async def test_an_import_whose_database_is_away_now_and_then_registers_one_version(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_often(monkeypatch)
    job = await registry.run("tiny", write_model(tmp_path / "m"))
    assert (job.result, job.attempt) == ({"model_version_id": "tiny@1"}, 1)
    assert len(await registry.versions()) == 1


async def test_a_store_that_is_away_while_known_weights_are_verified_is_waited_for(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.waiting._FIRST_PAUSE_SECONDS", 0.001)
    folder, verify, outages = write_model(tmp_path / "m"), ArtifactStore.verify, [Unavailable("Away.")]
    await registry.run("tiny", folder)

    async def away_once(store: ArtifactStore, uri: str, digest: str) -> None:
        if outages:
            raise outages.pop()
        await verify(store, uri, digest)

    monkeypatch.setattr(ArtifactStore, "verify", away_once)
    assert (await registry.run("tiny", folder)).result == {"model_version_id": "tiny@1"} and not outages


async def test_an_import_names_what_it_leaves_aside_and_what_its_checks_saw(registry: Registry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "scheduler.pt").write_bytes(b"\x80\x04")
    (folder / "runs").mkdir()
    expected = (
        "Left aside and not opened: 'runs/', 'scheduler.pt'.",
        "The tokenizer of m is sound.",
    )
    for _ in range(2):
        job = await registry.run("tiny", folder)
        assert job.result == {"model_version_id": "tiny@1"}
        assert (await registry.imports.resource.get(job.job_id)).notes == expected
        events = [event.payload["text"] async for event in watch(registry.jobs, job.job_id) if event.type == "message"]
        assert tuple(events) == expected


async def test_named_chat_templates_are_kept_in_their_folder(registry: Registry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    await registry.run("tiny", folder)
    (kept,) = (registry.root / "artifacts").glob("trees/*/*")
    assert (kept / "files" / "additional_chat_templates" / "tool_use.jinja").read_text() == "{{ tools }}"


async def test_a_source_that_was_imported_is_not_written_again(registry: Registry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    first = await registry.run("tiny", folder)
    again = await registry.run("tiny", folder)
    other = await registry.run("other", folder)
    assert first.result == again.result
    assert other.result == {"model_version_id": "other@1"}
    assert registry.importer.num_written == 1
    assert len({version.artifact for version in await registry.versions()}) == 1


async def test_importing_the_source_again_heals_weights_that_were_damaged(registry: Registry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    first = await registry.run("tiny", folder)
    (kept,) = (registry.root / "artifacts").glob("trees/*/*/files/model.safetensors")
    good = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(good[:-1] + b"\0\0")
    again = await registry.run("tiny", folder)
    assert (again.result, kept.read_bytes(), len(await registry.versions())) == (first.result, good, 1)
    texts = [event.payload["text"] async for event in watch(registry.jobs, again.job_id) if event.type == "message"]
    assert any("weights of tiny@1 are damaged and are replaced" in text for text in texts)


async def test_a_changed_source_is_another_version(registry: Registry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    await registry.run("tiny", folder)
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert (await registry.run("tiny", folder)).result == {"model_version_id": "tiny@2"}


async def test_a_source_that_changes_meanwhile_is_not_registered(registry: Registry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    registry.importer.change = folder / "config.json"
    job = await registry.run("tiny", folder)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "FAILED_PRECONDITION"
    assert (await registry.versions(), registry.leftovers(), registry.kept()) == ([], [], [])


async def test_a_cancelled_import_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    registry.importer.is_open.clear()
    running = asyncio.create_task(registry.run("tiny", write_model(tmp_path / "m")))
    await registry.importer.entered.wait()
    (listed,), _ = await registry.imports.resource.list(10)
    await registry.imports.resource.cancel(listed.job.job_id)
    assert (await running).state is JobState.CANCELLED
    assert (await registry.versions(), registry.leftovers(), registry.kept()) == ([], [], [])


async def test_a_store_that_fails_leaves_no_bytes(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(draft: Any) -> Any:
        raise FailedPrecondition("It is refused.")

    monkeypatch.setattr(registry.models, "add_version", fail)
    job = await registry.run("tiny", write_model(tmp_path / "m"))
    assert (job.state, registry.leftovers(), registry.kept()) == (JobState.FAILED, [], [])


async def test_an_interrupted_import_is_done_once_by_the_next_process(registry: Registry, tmp_path: Path) -> None:
    registry.importer.is_open.clear()
    running = asyncio.create_task(registry.run("tiny", write_model(tmp_path / "m")))
    await registry.importer.entered.wait()
    await registry.runner.stop(5.0)
    assert registry.leftovers() == []
    registry.importer.is_open.set()
    await registry.runner.start()
    job = await running
    assert (job.state, job.attempt, len(await registry.versions())) == (JobState.SUCCEEDED, 2, 1)


async def test_progress_goes_on_while_nothing_seems_to_happen(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.registry.jobs.phases._HEARTBEAT_SECONDS", 0.05)
    registry.importer.is_open.clear()
    running = asyncio.create_task(registry.run("tiny", write_model(tmp_path / "m")))
    await registry.importer.entered.wait()
    job_id = (await registry.imports.resource.list(10))[0][0].job.job_id
    phases = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for event in watch(registry.jobs, job_id):
            phases.append(event.payload.get("phase"))
            if phases.count("convert") == 3:
                break
    registry.importer.is_open.set()
    assert (await running).state is JobState.SUCCEEDED


def test_a_disk_without_room_is_refused_with_both_figures(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "imports")
    workspace.clear()
    workspace.check_space(0, 1)
    with pytest.raises(ResourceExhausted) as refusal:
        workspace.check_space(0, 2**60)
    fields = refusal.value.fields
    assert fields["folder"] == str(tmp_path / "imports")
    assert int(fields["needed_bytes"]) > 2**60 > int(fields["free_bytes"]) > 0
    assert fields["needed_bytes"] in refusal.value.problem


def test_a_killed_process_s_folders_are_gone_at_the_next_start(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "imports")
    workspace.clear()
    with workspace.folder("a") as folder:
        (folder / "half").write_text("x")
        workspace.clear()
        assert list((tmp_path / "imports").iterdir()) == []


async def test_two_replicas_on_one_disk_leave_each_other_s_folders_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Workspace(tmp_path / "imports")
    with first.folder("a") as before:
        (before / "half").write_text("x")
        second = Workspace(tmp_path / "imports")
        with second.folder("a") as after:
            assert list(after.iterdir()) == []
        assert (before / "half").exists()
        assert [item.name async for item in second.garbage()] == []
        monkeypatch.setattr("services.registry.importers.workspace._ABANDONED_SECONDS", -60)
        for item in [item async for item in second.garbage()]:
            await item.remove()
        assert list((tmp_path / "imports").iterdir()) == []


@pytest.mark.parametrize(
    "value", ["", "relative/m.gguf", "/nowhere/m.gguf", "/dev/null", "/", "/tmp\0/x", "/" + "x" * 5000]
)
def test_a_path_that_names_no_file_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        GgufPath().locate(value)
    assert refusal.value.fields["field"] == "source.gguf_path"
    assert refusal.value.next_step


@pytest.mark.parametrize("value", ["relative", "/nowhere", "/dev/null"])
def test_a_path_that_names_no_folder_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument):
        FolderPath().locate(value)


def test_a_link_out_of_the_allowed_folders_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", write_model(tmp_path / "out")
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    with pytest.raises(InvalidArgument, match="REGISTRY_IMPORT_ROOTS"):
        FolderPath((inside,)).locate(str(inside / "link"))
    assert FolderPath((tmp_path,)).locate(str(inside / "link")) == outside


def test_what_a_source_is_known_by_is_its_content(tmp_path: Path) -> None:
    async def digest_of(folder: Path) -> Artifact:
        importer = Gate()
        source = await importer.inspect(folder)

        async def ignore(done: int, total: int) -> None:
            assert 0 <= done <= total

        return await importer.identify(source, ignore)

    first, second = (asyncio.run(digest_of(write_model(tmp_path / name))) for name in ("a", "b"))
    assert first.digest == second.digest
    assert first.size_bytes == sum(
        (tmp_path / "a" / name).stat().st_size
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
    )
