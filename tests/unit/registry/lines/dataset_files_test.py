"""Files of rows as others write them: told by their content, within bounds, each wrong row named by its number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import AlreadyExists, Busy, InvalidArgument, TooLarge
from services.chassis.jobs import JobContext, JobRunner, Json
from services.chassis.waiting import Places
from services.protocols.suites.dataset_row import DatasetRow
from services.registry.__main__ import MIGRATIONS
from services.registry.domain.dataset import (
    DATASET_IMPORT_KIND,
    DatasetFileForm,
    DatasetFormat,
    DatasetSource,
    DatasetVersionDraft,
)
from services.registry.domain.paging import page_request
from services.registry.importers.rows import __main__ as process
from services.registry.importers.rows import conversion
from services.registry.importers.rows.conversion import RowFiles
from services.registry.importers.rows.written import write_messages
from services.registry.importers.workspace import Workspace
from services.registry.jobs.dataset_import import DatasetImportJob
from services.registry.store.claims import SqlClaims
from services.registry.store.datasets import SqlDatasetStore
from services.registry.usecases import dataset as usecases
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.dataset_import import DatasetImportUseCases
from tests.fakes.databases import new_database
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

HI, HELLO = {"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}
BYE = {"role": "assistant", "content": "Bye."}
CALL = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.py"}'}}
TOOL = {"type": "function", "function": {"name": "read"}}
SHARED = {
    "system": "Be brief.",
    "tools": json.dumps([TOOL["function"]]),
    "conversations": [
        {"from": "human", "value": "Read it."},
        {"from": "function_call", "value": json.dumps({"name": "read", "arguments": {"path": "a.py"}})},
        {"from": "observation", "value": "1"},
        {"from": "gpt", "value": "It is 1."},
    ],
}


def converted(path: Path, **options: Any) -> tuple[list[DatasetRow], list[str]]:
    """Return the rows of a file, and what is wrong with its others, without a process of their own."""
    source = DatasetSource(**options)
    reading = process._Reading(source, "Line")
    faults: list[str] = []
    reading._tell = lambda number, fault: faults.append(f"{number} {fault}")  # type: ignore[method-assign]
    return [DatasetRow.from_json(json.loads(line)) for line in reading.lines(path)], faults


def lines(tmp_path: Path, *documents: object) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def test_messages_keep_their_calls_tools_and_weights(tmp_path: Path) -> None:
    asked = [{"role": "developer", "content": [{"type": "text", "text": "Read "}, {"type": "text", "text": "it."}]}, HI]
    loose = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "read", "arguments": {"a": 1}}}],
    }
    path = lines(tmp_path, {"messages": [*asked, loose, {"role": "tool", "content": "1"}, HELLO], "tools": [TOOL]})
    (row,), faults = converted(path)
    assert not faults and (row.example_id, row.split, row.tools) == ("1", "train", (TOOL,))
    assert row.messages[0] == {"role": "system", "content": "Read it."}
    assert row.messages[2]["tool_calls"][0]["function"] == {"name": "read", "arguments": '{"a": 1}'}


def test_a_file_of_sharegpt_is_one_array_or_lines_and_its_calls_become_calls(tmp_path: Path) -> None:
    path = tmp_path / "shared.json"
    path.write_text(json.dumps([SHARED, {"conversations": [{"from": "gpt", "value": "?"}]}] * 200, indent=1))
    rows, faults = converted(path)
    assert len(rows) == len(faults) == 200 and "at least a prompt and an answer" in faults[0]
    roles = [message["role"] for message in rows[-1].messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert rows[-1].messages[2]["tool_calls"][0]["id"] == rows[-1].messages[3]["tool_call_id"]
    assert rows[-1].tools == (TOOL,) and rows[-1].example_id == "399"


@pytest.mark.parametrize(
    "pair",
    [
        {"prompt": "Hi.", "chosen": "Hello.", "rejected": "Bye."},
        {"prompt": [HI], "chosen": HELLO, "rejected": [BYE]},
        {"prompt": "Hi.", "chosen": [HI, HELLO], "rejected": [HI, BYE]},
        {"chosen": [HI, HELLO], "rejected": [HI, BYE]},
        {"input": {"messages": [HI]}, "preferred_output": [HELLO], "non_preferred_output": [BYE]},
    ],
)
def test_preferences_are_pairs_however_the_prompt_is_written(tmp_path: Path, pair: dict[str, Any]) -> None:
    (row,), faults = converted(lines(tmp_path, pair))
    assert (row.messages, row.rejected, faults) == ((HI, HELLO), BYE, [])


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"chosen": "a", "rejected": "a", "prompt": "q"}, "same answer"),
        ({"chosen": [HI, HELLO], "rejected": [BYE], "prompt": "q"}, "answer different prompts"),
        ({"chosen": "a", "prompt": "q"}, "has no rejected"),
        ({"messages": [HI, {"role": "assistant", "content": [{"type": "image_url"}]}]}, "only text can be trained"),
        ({"messages": [HI, {"role": "assistant", "tool_calls": [{"function": {}}]}]}, "a call without a name"),
        ({"messages": [HI, HELLO], "weight": 1e999}, "Infinity"),
        ({"messages": [HI, HELLO], "split": "test"}, "has no split"),
        ({"instruction": "Say hi.", "output": "Hi."}, "holds instruction, output: name its messages"),
        ({"conversations": [{"from": "moderator", "value": "x"}]}, "a turn from 'moderator'"),
        ({"conversations": [{"from": ["gpt"], "value": "x"}]}, "a turn from \"['gpt']\""),
        ({"messages": [HI, {"role": "assistant", "tool_calls": [{"name": "read", "arguments": 5}]}]}, "no arguments"),
        ({"messages": [HI, {**HELLO, "tool_calls": {"name": "read"}}]}, "tool_calls that are no list"),
        ({"messages": [HI, HELLO], "case": "no JSON"}, "holds no case"),
        ({"messages": [HI], "case": {}, "profile_id": ["text"]}, "has no profile_id"),
        ({"messages": [HI, HELLO], "tools": '[{"name": "read", "x": NaN}]'}, "a value that JSON cannot hold"),
        ({"messages": [HI, {**HELLO, "content": "x" * 1_048_470}]}, "more than 1048576 bytes"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_what_is_wrong(
    tmp_path: Path, document: dict[str, Any], problem: str
) -> None:
    rows, (fault,) = converted(lines(tmp_path, document))
    assert not rows and fault.startswith("1 ") and problem in fault


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"messages": [}]', "not JSON"),
        (b'[{"a": 1}, {"b": ' + b"9" * 5000 + b"}]", "too many digits"),
        (b'[{"a": "\xff"}]', "not UTF-8"),
        (b'[{"a": 1, "a": 2}]', "a key twice"),
        (b'["' + b"x" * 3_000_000, "longer than"),
        (b'[{"messages": []}]\n[{"messages": []}]', "stands behind the end of the array"),
        (b'[{"messages": []}]' + b" " * 100_000 + b"x", "stands behind the end of the array"),
        (b"PAR1 and nothing of it", "cannot be read from the Parquet file"),
    ],
)
def test_a_file_made_to_break_its_reader_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(content)
    _, faults = converted(path, format=DatasetFormat.MESSAGES)
    assert problem in faults[-1]


class Bench:
    """A registry of datasets over files that somebody sent."""

    def __init__(self, root: Path) -> None:
        database = new_database(MIGRATIONS)
        own = ArtifactStore((root / "own").as_uri(), sources=((root / "sent").as_uri() + "/",))
        self.artifacts, self.sent = own, ArtifactStore((root / "sent").as_uri())
        self.files = Places("files", num_running=1, num_waiting=1)
        self.datasets = DatasetUseCases(
            SqlDatasetStore(database),
            own,
            adoption=Adoption(own, SqlClaims(database)),
            files=self.files,
            row_files=RowFiles(Workspace(root / "work")),
        )

    async def draft(self, path: Path, request_id: str = "") -> DatasetVersionDraft:
        artifact: Artifact = await self.sent.put_file(path)
        counts = {"num_train_examples": 0, "num_validation_examples": 0}
        return DatasetVersionDraft(
            request_id=request_id, dataset_id="mine", artifact=artifact, produced_by="upload", **counts
        )


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    yield Bench(tmp_path)


async def test_what_is_exported_as_parquet_is_imported_as_it_was(bench: Bench, tmp_path: Path) -> None:
    shared, pair = {**SHARED, "weight": 2}, {"messages": [HI, {**HELLO, "weight": 1}], "rejected": BYE, "tools": [TOOL]}
    first = await bench.datasets.create_version(await bench.draft(lines(tmp_path, shared), "once"))
    async with bench.datasets.written("mine@1", DatasetFileForm.PARQUET) as path:
        second = await bench.datasets.create_version(await bench.draft(path))
    assert second.version.artifact.digest == first.version.artifact.digest
    assert second.version.imported_from.startswith("unspecified") and second.version.num_train_examples == 1
    await bench.datasets.create_version(await bench.draft(lines(tmp_path, pair)))
    async with bench.datasets.written("mine@3", DatasetFileForm.MESSAGES) as path:
        (document,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert document["input"] == {"messages": [HI], "tools": [TOOL]}
    assert (document["preferred_output"], document["non_preferred_output"]) == ([{**HELLO, "weight": 1}], [BYE])


async def test_wrong_rows_end_an_import_unless_they_are_to_be_left_out_and_a_repeat_is_known(
    bench: Bench, tmp_path: Path
) -> None:
    draft = await bench.draft(lines(tmp_path, {"messages": [HI, HELLO]}, {"messages": []}, {"messages": 1}), "once")
    with pytest.raises(InvalidArgument, match=r"Line 2 has no messages.* 1 more are wrong"):
        await bench.datasets.create_version(draft)
    source = DatasetSource(skips_wrong_rows=True, validation_share=1.0)
    for num_skipped in (2, 0):
        registered = await bench.datasets.create_version(draft, source)
        assert (registered.version.version_id, registered.num_skipped) == ("mine@1", num_skipped)
    assert registered.version.num_validation_examples == 1
    with pytest.raises(AlreadyExists):
        await bench.datasets.create_version(draft, DatasetSource(skips_wrong_rows=True))


async def test_an_import_that_is_killed_after_its_registration_goes_on_with_the_version_that_it_made(
    bench: Bench, tmp_path: Path
) -> None:
    jobs, registered = MemoryJobStore(), asyncio.Event()
    imports, job = DatasetImportUseCases(jobs), DatasetImportJob(bench.datasets)
    draft = await bench.draft(lines(tmp_path, {"messages": [HI, HELLO]}, {"messages": 1}))
    order = ("once", "mine", draft.artifact, DatasetSource(skips_wrong_rows=True))
    job_id = (await imports.create(*order)).job.job_id

    async def stuck(context: JobContext) -> Json:
        await job.run(context)
        registered.set()
        await asyncio.Event().wait()
        return {}

    for run in (stuck, job.run):
        runner = JobRunner(jobs, owner="bench", is_only_owner=True)
        runner.register(DATASET_IMPORT_KIND, run)
        await runner.start()
        await registered.wait()
        if run is not stuck:
            async for _ in imports.resource.watch(job_id):
                pass
        await runner.stop(5.0)
    ended = await imports.resource.get(job_id)
    assert (ended.dataset_version_id, ended.num_skipped) == ("mine@1", 1)
    assert [item.version for item in (await bench.datasets.list_versions("mine", page_request(0, ""))).items] == [1]
    assert (await imports.create(*order)).job.job_id == job_id


async def test_rows_that_are_registered_as_they_are_are_told_as_they_are_read(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usecases, "_ROWS_TOLD", 2)
    told: list[int] = []

    async def report(num_rows: int, num_faults: int) -> None:
        told.append(num_rows)

    rows = [{"example_id": str(number), "messages": [HI, HELLO]} for number in range(5)]
    await bench.datasets.create_version(await bench.draft(lines(tmp_path, *rows)), DatasetSource(), report)
    assert told == [2, 4]


async def test_an_import_waits_for_a_place_that_is_taken(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = MemoryJobStore()
    imports = DatasetImportUseCases(jobs)
    draft = await bench.draft(lines(tmp_path, {"messages": [HI, HELLO]}))
    job_id = (await imports.create("", "mine", draft.artifact, DatasetSource())).job.job_id
    place, freed = bench.files.place, asyncio.Event()

    def taken_at_first() -> AbstractAsyncContextManager[None]:
        if not freed.is_set():
            freed.set()
            raise Busy("2 files are at work or waiting, which is the limit.")
        return place()

    monkeypatch.setattr(bench.files, "place", taken_at_first)
    runner = JobRunner(jobs, owner="bench", is_only_owner=True)
    runner.register(DATASET_IMPORT_KIND, DatasetImportJob(bench.datasets).run)
    await runner.start()
    async for _ in imports.resource.watch(job_id):
        pass
    await runner.stop(5.0)
    ended = await imports.resource.get(job_id)
    assert freed.is_set() and ended.dataset_version_id == "mine@1"


async def test_a_request_id_is_of_one_way_to_read_a_file(bench: Bench, tmp_path: Path) -> None:
    draft = await bench.draft(lines(tmp_path, {"example_id": "a", "messages": [HI, HELLO]}), "once")
    await bench.datasets.create_version(draft)
    for source in (DatasetSource(format=DatasetFormat.ROWS), DatasetSource()):
        assert (await bench.datasets.create_version(draft, source)).version.version_id == "mine@1"
    with pytest.raises(AlreadyExists):
        await bench.datasets.create_version(draft, DatasetSource(validation_share=1.0))


async def test_no_more_files_are_validated_at_once_than_may_be_registered(bench: Bench, tmp_path: Path) -> None:
    draft = await bench.draft(lines(tmp_path, {"messages": [HI, HELLO]}))
    async with bench.files.place():
        bench.files._limit = 1
        with pytest.raises(Busy):
            await bench.datasets.validate(draft.artifact, DatasetSource())
    assert (await bench.datasets.validate(draft.artifact, DatasetSource())).num_train == 1


def test_exported_messages_say_which_turns_are_not_to_be_learnt(tmp_path: Path) -> None:
    recovery = DatasetRow("a", (HI, BYE, HI, HELLO), case={"task": "Hi."})
    write_messages([recovery, replace(recovery, case=None)], tmp_path / "out")
    first, second = [json.loads(line)["messages"] for line in (tmp_path / "out").read_text().splitlines()]
    assert first == [HI, {**BYE, "weight": 0}, HI, HELLO] and second == [HI, BYE, HI, HELLO]


async def test_rows_that_lie_packed_in_kilobytes_are_refused_by_what_they_need(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    limits = replace(conversion._LIMITS, memory_bytes=600 * 1024**2)
    monkeypatch.setattr(conversion, "_LIMITS", limits)
    packed = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array(["a" * 10_000_000]))
    wrong = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array(["a"]))
    with pq.ParquetWriter(
        tmp_path / "bomb.parquet", pa.schema([("messages", packed.type)]), compression="zstd"
    ) as file:
        for messages in (wrong, packed):
            file.write_table(pa.table({"messages": messages}))
    with pytest.raises(TooLarge, match="The rows' file needed more than"):
        await bench.datasets.create_version(await bench.draft(tmp_path / "bomb.parquet"))
