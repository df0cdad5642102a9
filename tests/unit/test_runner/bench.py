"""A test runner without processes: jobs, store, registry and backend in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from services.chassis.errors import NotFound, PermissionDenied
from services.chassis.jobs import Job, JobRunner, JobStore, SqlJobStore
from services.chassis.telemetry import Telemetry
from services.protocols.cases import Case
from services.protocols.profile import get_profile
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.test_run import Artifact, Environment, TestRunPhase
from services.test_runner.domain.transcript import FinishReason, Transcript
from services.test_runner.jobs.invitations import Sharing
from services.test_runner.jobs.run_share import RunShareJob
from services.test_runner.jobs.test_run import TestRunJob
from services.test_runner.ports.generation import Activity, Answer, GenerationEvent, Prepared, Prompt, Workload
from services.test_runner.ports.registry import CasePage, ResolvedModel, ResolvedSuite
from services.test_runner.store.sql import MIGRATIONS, SqlRunStore
from services.test_runner.telemetry import TestRunnerTelemetry
from services.test_runner.usecases.comparison import ComparisonUseCases
from services.test_runner.usecases.test_run import TestRunUseCases
from services.test_runner.usecases.transcript import TranscriptUseCases
from tests.fakes.databases import new_database
from tests.machine import PATIENCE_SECONDS
from tests.unit import run_specs as specs

SPEC = specs.run_spec(model_version_id="tiny", test_suite_version_id="roo_xml/core")
CASES = tuple(get_profile("roo_xml").draw(1, 10, categories=("single_call",)))


class FakeRegistry:
    """Knows the models tiny@1 and adapted@2, and the suite roo_xml/core@1."""

    def __init__(self, cases: tuple[Case, ...]) -> None:
        self.cases = cases
        self.newest = "tiny@1"
        self.digest = "sha256:b"
        self.page_size = 3
        self.profile_id = "roo_xml"
        self.suite_version_id = "roo_xml/core@1"
        self.is_empty = False

    async def resolve_model(self, model_version_id: str) -> ResolvedModel:
        if model_version_id == "adapted@2":
            return ResolvedModel("adapted@2", Artifact("base", self.digest), Artifact("adapter", "sha256:a"))
        if self.is_empty or model_version_id not in ("tiny", "tiny@1"):
            raise NotFound(f"There is no model version {model_version_id}.", "List the models.")
        return ResolvedModel(
            self.newest if model_version_id == "tiny" else model_version_id, Artifact("base", self.digest), None
        )

    async def resolve_suite(self, test_suite_version_id: str) -> ResolvedSuite:
        if test_suite_version_id not in ("roo_xml/core", "roo_xml/core@1"):
            raise NotFound(f"There is no suite version {test_suite_version_id}.", "List the suites.")
        return ResolvedSuite(self.suite_version_id, "sha256:s", self.profile_id, len(self.cases))

    async def list_cases(self, test_suite_version_id: str, page_token: str) -> CasePage:
        start = int(page_token or 0)
        end = start + self.page_size
        return CasePage(self.cases[start:end], str(end) if end < len(self.cases) else "")


class FakePolicy:
    """Allows every host but `forbidden`."""

    def check(self, endpoint: Endpoint) -> None:
        if endpoint.host == "forbidden":
            raise PermissionDenied("The host is not allowed.", "Use another.")


@dataclass
class FakeBackend:
    """Answers with the prompt's key and seed; `before(call, place)` runs before each answer and may raise."""

    before: Callable[[int, int], None] = lambda call, place: None
    environment: Environment = field(default_factory=lambda: Environment("bfloat16", 2, "sha256:t", {"torch": "2"}))
    workloads: list[Workload] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    blocks_call: int = 0
    num_closed: int = 0
    on_prepared: Callable[[], Awaitable[object]] | None = None
    answer: Callable[[Prompt], Answer] = field(default_factory=lambda: answer_to)

    async def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        self.workloads.append(workload)
        call = len(self.workloads)
        try:
            yield Activity(TestRunPhase.LOAD_MODEL)
            self.before(call, -1)
            yield Prepared(self.environment)
            if self.on_prepared is not None:
                await self.on_prepared()
            yield Activity(TestRunPhase.GENERATE, 0, len(workload.prompts))
            for place, prompt in enumerate(workload.prompts):
                self.before(call, place)
                if call == self.blocks_call and place == len(workload.prompts) // 2:
                    self.reached.set()
                    await asyncio.Event().wait()
                yield self.answer(prompt)
        finally:
            self.num_closed += 1


def answer_to(prompt: Prompt) -> Answer:
    return Answer(prompt.key, f"answer {prompt.key} {prompt.seed}", FinishReason.STOP, (1, 2, 3), 30, 20, 0.1, 0.2)


class Bench:
    """One service's parts; `restart` makes a second process over the same stores."""

    def __init__(
        self,
        backend: FakeBackend,
        *,
        jobs: JobStore | None = None,
        store: SqlRunStore | None = None,
        cases: tuple[Case, ...] = (),
        replica: str = "",
        shares: Literal["none", "weights", "all"] = "all",
    ) -> None:
        """With a `replica`'s name other replicas over the same stores take shares of its runs."""
        self.backend = backend
        database = new_database(MIGRATIONS)
        self.jobs = jobs or SqlJobStore(database)
        self.store = store or SqlRunStore(database)
        self.registry = FakeRegistry(cases or CASES)
        self.telemetry = Telemetry()
        self.usecases = TestRunUseCases(
            jobs=self.jobs, store=self.store, registry=self.registry, policy=FakePolicy(), window_size=4
        )
        self.transcripts_of = TranscriptUseCases(jobs=self.jobs, store=self.store)
        self.comparisons = ComparisonUseCases(jobs=self.jobs, store=self.store)
        adapters: Any = {"store": self.store, "registry": self.registry, "backend": backend}
        adapters["telemetry"] = TestRunnerTelemetry(self.telemetry)
        sharing = Sharing(self.jobs, shares) if replica else None
        job = TestRunJob(**adapters, window_size=4, sharing=sharing)
        self.runner = JobRunner(self.jobs, owner=replica or "me", is_only_owner=not replica)
        self.runner.register(job.kind, job)
        if replica and shares != "none":
            share = RunShareJob(**adapters, jobs=self.jobs)
            self.runner.register(share.kind, share, part_of=job.kind)

    def restart(self, backend: FakeBackend, replica: str = "") -> Bench:
        return Bench(backend, jobs=self.jobs, store=self.store, cases=self.registry.cases, replica=replica)

    async def work(self, run_id: str) -> Job:
        """Run jobs until this one has ended, and return it."""
        await self.runner.start()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (job := await self.jobs.get(run_id)).is_final:
                    with self.jobs.bell.listen(f"events:{run_id}") as listener:
                        await listener.wait(0.05)
        finally:
            await self.runner.stop(1.0)
        return job

    async def transcripts(self, run_id: str) -> list[Transcript]:
        return list(await self.store.list_transcripts(run_id, 0, 1000))

    async def texts(self, run_id: str) -> list[str]:
        events = await self.jobs.events(run_id)
        return [event.payload["text"] for event in events if event.type == "message"]
