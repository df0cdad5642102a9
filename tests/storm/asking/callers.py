"""Those who ask for work in a storm: they repeat a request until it is answered, and write down what was."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from drillyard.feedback.v1 import schedule_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import import_pb2, registry_service_pb2_grpc, test_suite_pb2
from drillyard.test_runner.v1 import test_run_pb2

from services.chassis.channel import open_channel
from services.chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServiceError,
)
from services.chassis.jobs import JobState
from tests.fakes.system.registry import TrainerRegistry
from tests.integration.tiny_stack import FINAL_STATES, add_suite, core_cases
from tests.storm.asking.kinds import KINDS, Kind
from tests.storm.asking.requests import CALM, NUM_CASES, NUM_ROWS, Requests
from tests.storm.ledger import CANCEL_SENT, CANCELLED, CREATED, SCHEDULED, Entry, Ledger
from tests.storm.stack import SERVICES, Stack
from tests.unit.registry.model_folders import write_adapter, write_model

_RETRY_SECONDS, _CALL_SECONDS, _PREPARE_SECONDS = 0.2, 10.0, 120.0
_AGAIN_SHARE, _CANCEL_SHARE, _PAUSE_SHARE = 0.2, 0.06, 0.1


class Callers:
    """Callers of all services.

    Attributes:
        calm_ids: The first job of each kind, done before the storm.
        reference_ids: The job of each (kind, shape) that was done before the storm.
    """

    def __init__(self, stack: Stack, ledger: Ledger, seed: int) -> None:
        self._ledger, self._seed = ledger, seed
        self._stack = stack
        self._requests = Requests(stack.data_dir)
        self._channels = {name: open_channel(stack.target(name), deadline_seconds=_CALL_SECONDS) for name in SERVICES}
        self.calm_ids: dict[str, str] = {}
        self.reference_ids: dict[tuple[str, str], str] = {}

    @classmethod
    @asynccontextmanager
    async def of(cls, stack: Stack, ledger: Ledger, seed: int) -> AsyncIterator[Callers]:
        """Lend callers whose channels end with the block."""
        callers = cls(stack, ledger, seed)
        try:
            yield callers
        finally:
            for channel in callers._channels.values():
                await channel.close()

    async def prepare(self) -> None:
        """Register what jobs read, and do one job of each shape in calm weather."""
        work = self._stack.data_dir / "work"
        await self._import_model(write_model(work / "tiny", max_position_embeddings=8192))
        async with open_channel(self._stack.target("registry"), deadline_seconds=_PREPARE_SECONDS) as channel:
            await self._register(registry_service_pb2_grpc.RegistryServiceStub(channel), work)
        await self._do_one_of_each()

    async def _register(self, stub: Any, work: Path) -> None:
        registry: Any = self._stack.of("registry")[0]
        await add_suite(registry, self._stack.data_dir, "roo_xml/storm", core_cases(NUM_CASES))
        suites = await stub.ListTestSuiteVersions(test_suite_pb2.ListTestSuiteVersionsRequest(page_size=100))
        self._requests.suite_ids = [suite.test_suite_version_id for suite in suites.test_suite_versions]
        await TrainerRegistry("", stub, self._stack.data_dir).add_dataset("drills", _rows(NUM_ROWS))
        await stub.CreateModelVersion(await self._requests.adapter(write_adapter(work / "tuned")))

    async def _do_one_of_each(self) -> None:
        for kind in KINDS.values():
            if kind.reads_run:
                await self._all_ended()
            for shape in self._requests.shapes(kind.name):
                chance = random.Random(f"{self._seed}/{kind.name}/{shape}")
                job_id = await self.submit(kind, f"{CALM}{kind.name}/{shape}", shape, chance)
                self.reference_ids[kind.name, shape] = job_id
                self.calm_ids.setdefault(kind.name, job_id)
            if kind.name == "evaluation":
                self._requests.evaluation_id = job_id
        await self._all_ended()

    async def _import_model(self, folder: Path) -> None:
        kind, source = KINDS["import"], import_pb2.ImportSource(folder_path=str(folder))
        request = import_pb2.CreateImportRequest(request_id=f"{CALM}tiny", model_id="tiny", source=source)
        job_id = kind.id_of(await self._call(kind, kind.create, request))
        self._ledger.write(Entry(CREATED, kind.service, kind.name, request.request_id, job_id))
        await self._ended(kind, job_id)

    async def one_of_each(self, prefix: str) -> None:
        """Ask for one job of each kind, all at once, and return when each was acknowledged."""
        await asyncio.gather(*[self._ask(kind, f"{prefix}/{name}") for name, kind in KINDS.items()])

    async def _ask(self, kind: Kind, request_id: str) -> None:
        chance = random.Random(f"{self._seed}/{request_id}")
        await self.submit(kind, request_id, self._requests.shapes(kind.name)[0], chance)

    async def work(self, num_jobs: int, seconds: float) -> None:
        """Ask for jobs of all kinds, spread over the time, and return when each was acknowledged."""
        chance = random.Random(self._seed)
        shares = [kind.share for kind in KINDS.values()]
        kinds = (list(KINDS.values()) + chance.choices(list(KINDS.values()), shares, k=num_jobs))[:num_jobs]
        chance.shuffle(kinds)
        times = sorted(chance.uniform(0, seconds) for _ in kinds)
        calls = enumerate(zip(times, kinds, strict=True))
        await asyncio.gather(*[self._try_one(f"storm/{number}", kind, time) for number, (time, kind) in calls])

    async def pause_schedules(self) -> None:
        """Let no more runs of schedules become due."""
        for schedule_id in self._ledger.ids(SCHEDULED):
            request = schedule_pb2.PauseScheduleRequest(schedule_id=schedule_id)
            await self._call(KINDS["scheduled_run"], "PauseSchedule", request)

    async def _try_one(self, request_id: str, kind: Kind, delay: float) -> None:
        try:
            await self._one(request_id, kind, delay)
        except (AlreadyExists, InvalidArgument, NotFound) as error:
            self._ledger.wrong(f"{kind.name} {request_id}: {error.code}: {error}")

    async def _one(self, request_id: str, kind: Kind, delay: float) -> None:
        await asyncio.sleep(delay)
        # Each caller draws by itself, so that what it does depends on the seed and not on who was answered first.
        chance = random.Random(f"{self._seed}/{request_id}")
        shape = chance.choice(self._requests.shapes(kind.name))
        job_id = await self.submit(kind, request_id, shape, chance)
        await asyncio.sleep(chance.uniform(0, 3))
        if not job_id:
            return
        if kind.is_cancelled and chance.random() < _CANCEL_SHARE:
            await self._cancel(kind, request_id, job_id)
        elif kind.name == "test_run" and chance.random() < _PAUSE_SHARE:
            await self._pause_and_resume(job_id, chance.uniform(0, 3))

    async def submit(self, kind: Kind, request_id: str, shape: str, chance: random.Random) -> str:
        """Ask for a job until it is acknowledged, some of them once more, and return its id; empty when refused."""
        subject = await self._schedule(request_id) if kind.name == "scheduled_run" else shape
        request = await self._requests.make(kind.name, request_id, subject, chance)
        try:
            job_id = kind.id_of(await self._call(kind, kind.create, request))
        except (FailedPrecondition, ResourceExhausted):
            # Another run of the schedule goes on, or it has had all that it may.
            if kind.name != "scheduled_run":
                raise
            return ""
        self._ledger.write(Entry(CREATED, kind.service, kind.name, request_id, job_id, shape))
        if kind.name == "test_run":
            self._requests.add_run(job_id)
        if chance.random() < _AGAIN_SHARE:
            again = kind.id_of(await self._call(kind, kind.create, request))
            if again != job_id:
                self._ledger.wrong(f"the request {request_id} gave the job {job_id}, and later {again}")
        return job_id

    async def _schedule(self, request_id: str) -> str:
        kind = KINDS["scheduled_run"]
        response = await self._call(kind, "CreateSchedule", self._requests.schedule(request_id))
        schedule_id = str(response.schedule.schedule_id)
        self._ledger.write(Entry(SCHEDULED, kind.service, "schedule", request_id, schedule_id))
        return schedule_id

    async def _call(self, kind: Kind, method: str, request: Any) -> Any:
        stub = kind.stub(self._channels[kind.service])
        while True:
            try:
                return await getattr(stub, method)(request)
            except (AlreadyExists, FailedPrecondition, InvalidArgument, NotFound):
                raise
            except ServiceError as error:
                if method == "RunSchedule" and isinstance(error, ResourceExhausted):
                    raise
                if error.code in ("INTERNAL", "UNKNOWN"):
                    self._ledger.wrong(f"{method}: {error.code}: {error}")
            await asyncio.sleep(_RETRY_SECONDS)

    async def _cancel(self, kind: Kind, request_id: str, job_id: str) -> None:
        entry = Entry(CANCEL_SENT, kind.service, kind.name, request_id, job_id)
        self._ledger.write(entry)
        try:
            await self._call(kind, kind.cancel, kind.named(kind.cancel, job_id))
        except FailedPrecondition:
            return
        self._ledger.write(Entry(CANCELLED, kind.service, kind.name, request_id, job_id))

    async def _pause_and_resume(self, job_id: str, seconds: float) -> None:
        kind = KINDS["test_run"]
        try:
            await self._call(kind, "PauseTestRun", test_run_pb2.PauseTestRunRequest(test_run_id=job_id))
        except FailedPrecondition:
            return
        await asyncio.sleep(seconds)
        while True:
            try:
                await self._call(kind, "ResumeTestRun", test_run_pb2.ResumeTestRunRequest(test_run_id=job_id))
                return
            except FailedPrecondition:
                # It is still pausing, or has ended.
                if await self._state(kind, job_id) in FINAL_STATES:
                    return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _state(self, kind: Kind, job_id: str) -> job_pb2.JobState:
        response = await self._call(kind, kind.get, kind.named(kind.get, job_id))
        return getattr(response, kind.noun or kind.name).job.state

    async def _all_ended(self) -> None:
        for (name, _), job_id in self.reference_ids.items():
            await self._ended(KINDS[name], job_id)

    async def _ended(self, kind: Kind, job_id: str) -> None:
        query = f"SELECT state, error FROM jobs WHERE job_id = '{job_id}'"
        while True:
            (job,) = await asyncio.to_thread(self._stack.databases.read, kind.service, query)
            if JobState(job["state"]).is_final:
                assert job["state"] == JobState.SUCCEEDED, f"{kind.name} failed in calm weather: {job['error']}"
                return
            await asyncio.sleep(_RETRY_SECONDS)


def _rows(count: int) -> list[dict[str, Any]]:
    def row(number: int) -> dict[str, Any]:
        words = {"system": "Answer in tags.", "user": f"Read {number}", "assistant": f"<read_file>{number}</read_file>"}
        messages = [{"role": role, "content": text} for role, text in words.items()]
        return {"example_id": f"e{number}", "split": "train", "profile_id": "roo_xml", "messages": messages}

    return [row(number) for number in range(count)]


def get_calls(callers: Callers, stack: Stack) -> str:
    """Return, as JSON, which Get of which replica is to be measured: of each service that of one kind."""
    measured = {kind.service: kind for kind in reversed(KINDS.values())}
    return json.dumps(
        [
            {"kind": kind.name, "address": replica.address, "job_id": callers.calm_ids[kind.name]}
            for kind in measured.values()
            for replica in stack.of(kind.service)
        ]
    )
