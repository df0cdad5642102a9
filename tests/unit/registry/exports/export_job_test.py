"""What an export does, over memory stores and a writer that can be held up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.chassis.jobs import JobState
from services.registry.domain.export import ExportForm
from services.registry.domain.model import ModelVersionKind
from tests.unit.outages import break_often
from tests.unit.registry.exports.shipping_registry import ShippingRegistry, shipping_registry


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[ShippingRegistry]:
    async with shipping_registry(tmp_path) as registry:
        yield registry


async def test_an_export_registers_a_version_of_its_kind_with_its_lineage(registry: ShippingRegistry) -> None:
    job = await registry.export("tuned", number_type="q8_0")
    assert job.result == {"model_version_id": "tuned-gguf-q8-0@1"}
    (version,) = await registry.made()
    assert (version.kind, version.base_model_version_id) == (ModelVersionKind.GGUF, "tuned@1")
    assert (version.produced_by, version.facts.num_parameters) == (f"export:{job.job_id}", 8)
    export = await registry.exports.resource.get(job.job_id)
    assert (export.model_version_id, export.notes[0]) == ("tuned-gguf-q8-0@1", "tuned@1 was written as Q8_0.")
    # The licence of the base is that of all that is made of it.
    assert version.facts.licence == "cc-by-nc-nd-4.0" and "forbids derivatives" in export.notes[1]
    assert registry.leftovers() == []


async def test_an_export_whose_database_is_away_now_and_then_registers_one_version(
    registry: ShippingRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_often(monkeypatch)
    job = await registry.export("tuned")
    assert (job.result, len(await registry.made())) == ({"model_version_id": "tuned-gguf-q8-0@1"}, 1)


async def test_the_same_export_twice_gives_the_same_version_and_writes_once(registry: ShippingRegistry) -> None:
    first, again = [await registry.export("tuned") for _ in range(2)]
    assert (first.result, registry.writing.num_passed) == (again.result, 1)
    other = await registry.export("tuned", model_id="mine")
    assert (other.result, registry.writing.num_passed) == ({"model_version_id": "mine@1"}, 1)
    assert len({version.artifact.digest for version in await registry.made()}) == 1


async def test_another_number_type_or_source_is_another_version(registry: ShippingRegistry) -> None:
    for changes in ({}, {"number_type": "F16"}, {"card": "Good."}):
        await registry.export("tuned", **changes)
    await registry.export("tiny")
    assert registry.writing.num_passed == 4


async def test_the_same_export_heals_bytes_that_were_damaged(registry: ShippingRegistry) -> None:
    await registry.export("tuned")
    (kept,) = (registry.root / "artifacts").glob("trees/*/*/files/model.gguf")
    good = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(good[:-1] + b"\1")
    await registry.export("tuned")
    assert (registry.writing.num_passed, kept.read_bytes()) == (2, good)


async def test_a_cancelled_export_leaves_nothing(registry: ShippingRegistry) -> None:
    kept = registry.kept()
    registry.writing.is_open.clear()
    running = asyncio.create_task(registry.export("tuned"))
    await registry.writing.entered.wait()
    (export,), _ = await registry.exports.resource.list(10)
    await registry.exports.resource.cancel(export.job.job_id)
    assert (await running).state is JobState.CANCELLED
    assert (await registry.made(), registry.leftovers(), registry.kept()) == ([], [], kept)


@pytest.mark.parametrize("step", ["facts_of", "put_tree", "add_version"])
async def test_an_export_that_breaks_at_any_step_leaves_nothing(
    registry: ShippingRegistry, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise FailedPrecondition("It is refused.")

    kept = registry.kept()
    places = {
        "facts_of": "tests.unit.registry.exports.shipping_registry.FactsOfNumbers",
        "put_tree": "services.chassis.artifacts.ArtifactStore",
        "add_version": "services.registry.store.models.SqlModelStore",
    }
    monkeypatch.setattr(f"{places[step]}.{step}", fail)
    job = await registry.export("tuned")
    assert (job.state, registry.leftovers(), registry.kept()) == (JobState.FAILED, [], kept)


async def test_an_interrupted_export_is_done_once_by_the_next_process(registry: ShippingRegistry) -> None:
    registry.writing.is_open.clear()
    running = asyncio.create_task(registry.export("tuned"))
    await registry.writing.entered.wait()
    await registry.runner.stop(5.0)
    assert registry.leftovers() == []
    registry.writing.is_open.set()
    await registry.runner.start()
    job = await running
    assert (job.state, job.attempt, len(await registry.made())) == (JobState.SUCCEEDED, 2, 1)


async def test_a_disk_without_room_is_told_before_the_first_byte(
    registry: ShippingRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fetched: int, written_bytes: int) -> None:
        raise ResourceExhausted(f"The export needs {written_bytes} bytes.", "Free space.")

    monkeypatch.setattr(registry.workspace.__class__, "check_space", staticmethod(full))
    job = await registry.export("tiny", number_type="F32")
    assert job.error is not None and job.error.problem == "The export needs 512 bytes."
    assert registry.writing.num_passed == 0


@pytest.mark.parametrize(
    ("version", "changes", "error", "words"),
    [
        ("nobody", {}, NotFound, "no model version 'nobody'"),
        (
            "tiny",
            {"form": ExportForm.MERGED},
            InvalidArgument,
            "no form merged: there is no adapter to merge",
        ),
        ("tiny", {"form": ExportForm.ADAPTER}, InvalidArgument, "tiny@1 has no form adapter: it is of kind base"),
        ("tuned", {"number_type": "Q9"}, InvalidArgument, "cannot be written as 'Q9'. Choose one of F32, F16.*Q4_K_M"),
        ("tuned", {"form": ExportForm.ADAPTER, "number_type": "F16"}, InvalidArgument, "keeps its numbers"),
        ("tuned", {"num_ctx": 4096}, InvalidArgument, "num_ctx"),
        ("tuned", {"model_id": "tiny"}, AlreadyExists, "tiny holds versions of kind base, not gguf"),
        ("tuned", {"model_id": "No Id"}, InvalidArgument, "is not an id"),
    ],
)
async def test_an_export_that_cannot_be_is_refused_with_the_reason(
    registry: ShippingRegistry, version: str, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await registry.export(version, **changes)
    assert (await registry.exports.resource.list(10))[0] == []


async def test_a_gguf_becomes_nothing_but_an_ollama_form(registry: ShippingRegistry) -> None:
    await registry.export("tuned")
    with pytest.raises(InvalidArgument, match="or export it as ollama"):
        await registry.export("tuned-gguf-q8-0")


async def test_a_version_that_an_export_reads_is_not_deleted(registry: ShippingRegistry) -> None:
    registry.writing.is_open.clear()
    running = asyncio.create_task(registry.export("tuned"))
    await registry.writing.entered.wait()
    with pytest.raises(FailedPrecondition, match=r"tuned@1 is used by the export \w+"):
        await registry.use_cases.delete_version("tuned@1")
    registry.writing.is_open.set()
    assert (await running).state is JobState.SUCCEEDED
    with pytest.raises(FailedPrecondition, match="tuned-gguf-q8-0@1 is made of tuned@1"):
        await registry.use_cases.delete_version("tuned@1")
    await registry.use_cases.delete_version("tuned-gguf-q8-0@1")
    await registry.use_cases.delete_version("tuned@1")
