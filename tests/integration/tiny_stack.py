"""A registry with a tiny random model and small suites, and calls that several integration tests make."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc.aio
import psutil
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import artifact_pb2, import_pb2, model_pb2, registry_service_pb2_grpc, test_suite_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.artifacts import ArtifactStore
from services.chassis.channel import open_channel
from services.lm.tiny import write_tiny_model
from services.protocols.cases import Case, case_to_document
from services.protocols.profile import get_profile
from tests.integration.processes import ServiceProcess, start_service
from tests.machine import PATIENCE_SECONDS, command_of, free_port

MODEL = "tiny"
SUITE = "roo_xml/core@1"
FINAL_STATES = (job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)


@dataclass
class TinyStack:
    """A registry that knows the model tiny@1 and one small suite, and a test runner that may be killed."""

    data_dir: Path
    registry: ServiceProcess
    suite: str
    ending: ExitStack
    settings: dict[str, object]
    port: int = field(default_factory=free_port)

    def start_runner(self) -> None:
        """Start the test runner where the one before was, which must have ended."""
        settings = {"registry_address": self.registry.address, "num_threads": 1, **self.settings}
        self.runner = self.ending.enter_context(
            start_service("test_runner", self.data_dir, grpc_port=self.port, **settings)
        )


TestRunner: TypeAlias = "test_runner_service_pb2_grpc.TestRunnerServiceAsyncStub"


@asynccontextmanager
async def tiny_stack(
    folder: Path, *, num_cases: int, cases: Sequence[Case] = (), max_positions: int = 4096, **settings: object
) -> AsyncIterator[TinyStack]:
    """Start registry and test runner with a model and a suite; all is ended with the block.

    The suite has `num_cases` of the built-in one, or else `cases`; `settings` are the test runner's.
    """
    model = folder / "tiny"
    write_tiny_model(model, max_positions=max_positions)
    with ExitStack() as ending:
        registry = ending.enter_context(start_service("registry", folder))
        await register_model(registry, folder, model)
        suite = await add_suite(registry, folder, "roo_xml/small", cases or core_cases(num_cases))
        stack = TinyStack(folder, registry, suite, ending, settings)
        stack.start_runner()
        yield stack


def core_cases(count: int) -> list[Case]:
    """Return `count` cases of the built-in suite, spread over its tools."""
    cases = get_profile("roo_xml").suites()[0].cases
    return [cases[place * len(cases) // count] for place in range(count)]


@asynccontextmanager
async def connected(service: ServiceProcess) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to a service for the length of a block."""
    channel = open_channel(service.address)
    try:
        # A channel to an address that was away a progress ago waits before it tries again.
        await asyncio.wait_for(channel.channel_ready(), PATIENCE_SECONDS)
        yield channel
    finally:
        await channel.close()


async def register_model(registry: ServiceProcess, data_dir: Path, folder: Path) -> None:
    """Register a folder as a version of `MODEL`, without the process that looks through what is imported."""
    tree = await ArtifactStore((data_dir / "made_up").as_uri()).put_tree(folder)
    artifact = artifact_pb2.Artifact(uri=tree.uri, digest=tree.digest, size_bytes=tree.size_bytes)
    kind = model_pb2.MODEL_VERSION_KIND_BASE
    async with connected(registry) as channel:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        await stub.CreateModelVersion(
            model_pb2.CreateModelVersionRequest(request_id=MODEL, model_id=MODEL, kind=kind, artifact=artifact)
        )


async def import_model(registry: ServiceProcess, folder: Path, model_id: str = MODEL) -> str:
    """Import a folder of a model or of an adapter, and return the id of its version."""
    async with connected(registry) as channel:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        source = import_pb2.ImportSource(folder_path=str(folder))
        request = import_pb2.CreateImportRequest(request_id=str(folder), model_id=model_id, source=source)
        import_id = (await stub.CreateImport(request)).model_import.import_id
        async for _ in stub.WatchImport(import_pb2.WatchImportRequest(import_id=import_id)):
            pass
        ended = (await stub.GetImport(import_pb2.GetImportRequest(import_id=import_id))).model_import
        assert ended.job.state == job_pb2.JOB_STATE_SUCCEEDED, ended.job.error
        return ended.model_version_id


async def add_suite(registry: ServiceProcess, data_dir: Path, name: str, cases: Sequence[Case]) -> str:
    """Register a suite of these cases, and return the id of its version."""
    text = "".join(json.dumps(case_to_document(case)) + "\n" for case in cases)
    artifact = await ArtifactStore((data_dir / "test_suites").as_uri()).put_bytes(text.encode())
    async with connected(registry) as channel:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        request = test_suite_pb2.CreateTestSuiteVersionRequest(
            request_id=name,
            test_suite_id=name,
            artifact=artifact_pb2.Artifact(uri=artifact.uri, digest=artifact.digest, size_bytes=artifact.size_bytes),
        )
        return (await stub.CreateTestSuiteVersion(request)).test_suite_version.test_suite_version_id


async def create_run(stub: TestRunner, request_id: str, **spec: object) -> test_run_pb2.TestRun:
    """Start a run with short answers of the tiny model."""
    chosen = {
        "model_version_id": MODEL,
        "sampling": test_run_pb2.Sampling(max_new_tokens=48),
        "dtype": "float32",
        **spec,
    }
    request = test_run_pb2.CreateTestRunRequest(
        request_id=request_id,
        spec=test_run_pb2.TestRunSpec(**chosen),  # type: ignore[arg-type]
    )
    return (await stub.CreateTestRun(request)).test_run


async def get_run(stub: TestRunner, run_id: str) -> test_run_pb2.TestRun:
    """Return a run."""
    return (await stub.GetTestRun(test_run_pb2.GetTestRunRequest(test_run_id=run_id))).test_run


async def watch_run(stub: TestRunner, run_id: str, after_sequence: int = 0) -> AsyncIterator[job_pb2.JobEvent]:
    """Yield the events of a run."""
    request = test_run_pb2.WatchTestRunRequest(test_run_id=run_id, after_sequence=after_sequence)
    async for response in stub.WatchTestRun(request):
        yield response.event


async def finished_run(stub: TestRunner, run_id: str) -> test_run_pb2.TestRun:
    """Wait for the end of a run and return it."""
    async for _ in watch_run(stub, run_id):
        pass
    return await get_run(stub, run_id)


async def stored_windows(stub: TestRunner, run_id: str, least: int) -> test_run_pb2.TestRun:
    """Wait until a run has stored at least so many transcripts, and return it."""
    async for _ in watch_run(stub, run_id):
        run = await get_run(stub, run_id)
        if run.num_transcripts >= least:
            return run
    raise AssertionError(f"the run ended with {(await get_run(stub, run_id)).num_transcripts} transcripts")


async def transcripts(stub: TestRunner, run_id: str) -> list[transcript_pb2.Transcript]:
    """Return all transcripts of a run, over several pages."""
    found: list[transcript_pb2.Transcript] = []
    token = ""
    while True:
        request = transcript_pb2.ListTranscriptsRequest(test_run_id=run_id, page_size=7, page_token=token)
        page = await stub.ListTranscripts(request)
        found.extend(page.transcripts)
        token = page.next_page_token
        if not token:
            return found


def answers(found: Sequence[transcript_pb2.Transcript]) -> list[tuple[object, ...]]:
    """Return what must be the same in two runs of one spec: all but ids and times."""
    return [
        (
            item.sequence,
            item.case_id,
            item.repeat,
            item.finish_reason,
            tuple(item.token_ids),
            item.num_prompt_tokens,
            tuple((turn.role, turn.content) for turn in item.messages),
        )
        for item in found
    ]


def workers(service: ServiceProcess) -> list[psutil.Process]:
    """Return the generation workers of a test runner."""
    children = psutil.Process(service.process.pid).children(recursive=True)
    return [child for child in children if "services.lm.worker" in command_of(child)]


@asynccontextmanager
async def held(
    stub: TestRunner, service: ServiceProcess, run_id: str, least: int = 1
) -> AsyncIterator[test_run_pb2.TestRun]:
    """Hold a run for the length of a block, once it has stored at least so many transcripts: its workers stand still.

    Until then they are let go for moments only, so that the run is not over before anyone has seen it half done.
    """
    stopped: list[psutil.Process] = []
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await a_worker(service)
            for look in itertools.count():
                # Which processes there are costs as much to know as ten looks.
                stopped = stopped if look % 10 else workers(service)
                _each(stopped, psutil.Process.suspend)
                run = await get_run(stub, run_id)
                if run.num_transcripts >= least:
                    break
                await _let_go_on(stopped)
        yield run
    finally:
        _each(stopped, psutil.Process.resume)


async def _let_go_on(processes: Sequence[psutil.Process]) -> None:
    """Let processes go on for a tenth of a second of their own time, which no load of the machine changes."""
    end = _processor_seconds(processes) + 0.1
    _each(processes, psutil.Process.resume)
    # They may be idle.
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while _processor_seconds(processes) < end:
                await asyncio.sleep(0.01)


def _processor_seconds(processes: Sequence[psutil.Process]) -> float:
    times: list[float] = []
    _each(processes, lambda process: times.extend(process.cpu_times()[:2]))
    return sum(times)


@contextmanager
def standing_still(service: ServiceProcess) -> Iterator[None]:
    """Keep what generates from doing anything for the length of a block."""
    stopped = workers(service)
    _each(stopped, psutil.Process.suspend)
    try:
        yield
    finally:
        _each(stopped, psutil.Process.resume)


def _each(processes: Sequence[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            act(process)


async def a_worker(service: ServiceProcess) -> psutil.Process:
    """Wait until a test runner has a generation worker."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := workers(service)):
        assert time.monotonic() < end, "no worker was started"
        await asyncio.sleep(0.02)
    return found[0]
