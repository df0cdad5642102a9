"""Those who ask for work in a storm: they repeat a request until it is answered, and write down what was."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import import_pb2, registry_service_pb2_grpc
from drillyard.test_runner.v1 import test_run_pb2

from services.chassis.channel import open_channel
from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ServiceError
from tests.fakes.system.registry import TrainerRegistry
from tests.integration.tiny_stack import FINAL_STATES, add_suite, core_cases
from tests.storm.ledger import CANCEL_SENT, CANCELLED, CREATED, Entry, Ledger
from tests.storm.stack import SERVICES, Stack
from tests.storm.work import KINDS, NUM_CASES, NUM_ROWS, Kind, Requests
from tests.unit.registry.model_folders import write_model

_RETRY_SECONDS, _CALL_SECONDS = 0.2, 10.0
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
        self._requests = Requests(stack.data_dir / "work")
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
        registry: Any = self._stack.of("registry")[0]
        await self._import_model(write_model(self._stack.data_dir / "work" / "tiny", max_position_embeddings=8192))
        await add_suite(registry, self._stack.data_dir, "roo_xml/storm", core_cases(NUM_CASES))
        stub = registry_service_pb2_grpc.RegistryServiceStub(self._channels["registry"])
        await TrainerRegistry("", stub, self._stack.data_dir).add_dataset("drills", _rows(NUM_ROWS))
        for kind in KINDS.values():
            for shape in self._requests.shapes(kind.name):
                chance = random.Random(f"{self._seed}/{kind.name}/{shape}")
                job_id = await self.submit(kind, f"calm/{kind.name}/{shape}", shape, chance)
                self.reference_ids[kind.name, shape] = job_id
                self.calm_ids.setdefault(kind.name, job_id)
        await asyncio.gather(*[self._ended(KINDS[name], job_id) for (name, _), job_id in self.reference_ids.items()])

    async def _import_model(self, folder: Path) -> None:
        kind, source = KINDS["import"], import_pb2.ImportSource(folder_path=str(folder))
        request = import_pb2.CreateImportRequest(request_id="calm/tiny", model_id="tiny", source=source)
        job_id = kind.id_of(await self._call(kind, kind.create, request))
        self._ledger.write(Entry(CREATED, kind.service, kind.name, request.request_id, job_id))
        await self._ended(kind, job_id)

    async def work(self, num_jobs: int, seconds: float) -> None:
        """Ask for jobs of all kinds, spread over the time, and return when each was acknowledged."""
        chance = random.Random(self._seed)
        kinds = chance.choices(list(KINDS.values()), [kind.share for kind in KINDS.values()], k=num_jobs)
        times = sorted(chance.uniform(0, seconds) for _ in kinds)
        calls = enumerate(zip(times, kinds, strict=True))
        await asyncio.gather(*[self._try_one(f"storm/{number}", kind, time) for number, (time, kind) in calls])

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
        if chance.random() < _CANCEL_SHARE:
            await self._cancel(kind, request_id, job_id)
        elif kind.name == "test_run" and chance.random() < _PAUSE_SHARE:
            await self._pause_and_resume(job_id, chance.uniform(0, 3))

    async def submit(self, kind: Kind, request_id: str, shape: str, chance: random.Random) -> str:
        """Ask for a job until it is acknowledged, some of them once more, and return its id."""
        request = self._requests.make(kind.name, request_id, shape, chance)
        job_id = kind.id_of(await self._call(kind, kind.create, request))
        self._ledger.write(Entry(CREATED, kind.service, kind.name, request_id, job_id, shape))
        if kind.name == "test_run":
            self._requests.add_run(job_id)
        if chance.random() < _AGAIN_SHARE:
            again = kind.id_of(await self._call(kind, kind.create, request))
            if again != job_id:
                self._ledger.wrong(f"the request {request_id} gave the job {job_id}, and later {again}")
        return job_id

    async def _call(self, kind: Kind, method: str, request: Any) -> Any:
        stub = kind.stub(self._channels[kind.service])
        while True:
            try:
                return await getattr(stub, method)(request)
            except (AlreadyExists, FailedPrecondition, InvalidArgument, NotFound):
                raise
            except ServiceError as error:
                if error.code in ("INTERNAL", "UNKNOWN"):
                    self._ledger.wrong(f"{method}: {error.code}: {error}")
            await asyncio.sleep(_RETRY_SECONDS)

    async def _cancel(self, kind: Kind, request_id: str, job_id: str) -> None:
        entry = Entry(CANCEL_SENT, kind.service, kind.name, request_id, job_id)
        self._ledger.write(entry)
        try:
            await self._call(kind, kind.cancel, kind.cancel_request(**{kind.id_field: job_id}))
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
        response = await self._call(kind, kind.get, kind.get_request(**{kind.id_field: job_id}))
        return getattr(response, kind.noun).job.state

    async def _ended(self, kind: Kind, job_id: str) -> None:
        while (state := await self._state(kind, job_id)) not in FINAL_STATES:
            await asyncio.sleep(_RETRY_SECONDS)
        assert state == job_pb2.JOB_STATE_SUCCEEDED, f"{kind.name} failed in calm weather"


def _rows(count: int) -> list[dict[str, Any]]:
    def row(number: int) -> dict[str, Any]:
        words = {"system": "Answer in tags.", "user": f"Read {number}", "assistant": f"<read_file>{number}</read_file>"}
        messages = [{"role": role, "content": text} for role, text in words.items()]
        return {"example_id": f"e{number}", "split": "train", "profile_id": "roo_xml", "messages": messages}

    return [row(number) for number in range(count)]


def get_calls(callers: Callers, stack: Stack) -> str:
    """Return, as JSON, which Get of which replica is to be measured."""
    return json.dumps(
        [
            {"kind": kind.name, "address": replica.address, "job_id": callers.calm_ids[kind.name]}
            for kind in KINDS.values()
            for replica in stack.of(kind.service)
        ]
    )
