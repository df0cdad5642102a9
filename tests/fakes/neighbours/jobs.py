"""Durable jobs of a fake neighbour: real rules, in memory, done at once unless a test holds them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from types import ModuleType
from typing import Any

from google.protobuf.json_format import MessageToDict

from services.chassis.jobs import Job, JobContext, JobRunner, Json, watch
from services.chassis.jobs.convert import job_to_proto, watch_response
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.jobs.memory_store import MemoryJobStore


class Gate:
    """A point in a fake: it tells when someone arrives, and holds him until it is opened."""

    def __init__(self) -> None:
        self._arrived, self._opened = asyncio.Event(), asyncio.Event()

    async def arrival(self) -> None:
        """Return once someone stands at the gate."""
        await asyncio.wait_for(self._arrived.wait(), PATIENCE_SECONDS)

    def open(self) -> None:
        """Let all pass from now on."""
        self._opened.set()

    async def enter(self) -> None:
        """Arrive, and return when the gate is open."""
        self._arrived.set()
        await self._opened.wait()


class Gates:
    """The gates that a test has closed, named "<round>/<step>:<phase>" after a loop's request ids; others are open."""

    def __init__(self) -> None:
        self._gates: dict[str, Gate] = {}

    def close(self, point: str) -> Gate:
        """Hold whoever comes to `point`, such as "1/train:work"."""
        return self._gates.setdefault(point, Gate())

    def open_all(self) -> None:
        """Let all pass everywhere, from now on."""
        for gate in self._gates.values():
            gate.open()
        self._gates = {}

    async def enter(self, request_id: str, phase: str) -> None:
        """Come to the point that a request id and a phase name."""
        gate = self._gates.get("/".join(request_id.split("/")[-2:]) + f":{phase}")
        if gate is not None:
            await gate.enter()


class FakeJobs:
    """Jobs of one kind, and the RPCs of every such kind.

    A create is held at "<request>:answer" when the job is stored and the caller does not know it yet, the work at
    "<request>:work", and who watches it at "<request>:watch".
    """

    def __init__(self, kind: str, gates: Gates, work: Callable[[Job], Awaitable[Json]]) -> None:
        self.store = MemoryJobStore()
        self.runner = JobRunner(self.store, owner="fake", is_only_owner=True)
        self.runner.register(kind, self._do, limit=10)
        self._kind, self._gates, self._work = kind, gates, work

    def serve(self, servicer: Any, messages: ModuleType, fields_of: Callable[[Job], dict[str, Any]]) -> None:
        """Give a servicer the RPCs Create, Get, Cancel and Watch of the kind, whose messages a module holds.

        `fields_of` returns what the message of the kind has besides its id and its job.
        """
        noun = "".join(word.capitalize() for word in self._kind.split("_"))

        def message(job: Job) -> Any:
            return getattr(messages, noun)(**{f"{self._kind}_id": job.job_id}, job=job_to_proto(job), **fields_of(job))

        def rpc(verb: str, act: Callable[[Any], Awaitable[Job]]) -> None:
            async def answer(request: Any, context: Any) -> Any:
                response = getattr(messages, f"{verb}{noun}Response")
                return response(**{self._kind: message(await act(request))})

            setattr(servicer, f"{verb}{noun}", answer)

        rpc("Create", self._create)
        rpc("Get", lambda request: self.store.get(getattr(request, f"{self._kind}_id")))
        rpc("Cancel", lambda request: self.store.request_cancel(getattr(request, f"{self._kind}_id")))

        async def answer_watch(request: Any, context: Any) -> AsyncIterator[Any]:
            job = await self.store.get(getattr(request, f"{self._kind}_id"))
            await self._gates.enter(job.request_id, "watch")
            async with aclosing(watch(self.store, job.job_id, request.after_sequence)) as events:
                async for event in events:
                    yield watch_response(getattr(messages, f"Watch{noun}Response"), event)

        setattr(servicer, f"Watch{noun}", answer_watch)

    async def all(self) -> list[Job]:
        """Return every job, oldest first."""
        jobs, _ = await self.store.list(self._kind, 200)
        return jobs[::-1]

    async def _create(self, request: Any) -> Job:
        document = MessageToDict(request, preserving_proto_field_name=True)
        request_id = document.pop("request_id", "")
        job = await self.store.create(self._kind, request_id, document.get("spec", document))
        await self._gates.enter(request_id, "answer")
        return job

    async def _do(self, context: JobContext) -> Json:
        await context.progress(phase="fake", done=1, total=2, unit="units")
        await self._gates.enter(context.job.request_id, "work")
        await context.progress(done=2, message="nearly there")
        return await self._work(context.job)
