"""Deployments by workers: ready when the version has answered, failed in the words of what broke."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from services.chassis.errors import ServiceError, Unavailable, Unimplemented
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.generation import Answer, BackendFaultError, Prompt
from services.test_runner.ports.registry import WorkerDeployment
from services.test_runner.usecases.deployments import DeploymentChecks
from services.test_runner.usecases.generation import GenerationUseCases
from tests.machine import PATIENCE_SECONDS
from tests.unit.test_runner.bench import CASES, FakeBackend, FakePolicy, FakeRegistry, answer_to

READY = ("ready", "")


@dataclass
class FakeDeployments:
    """A registry that was away for the first question, and has one deployment until that is ready.

    Attributes:
        refusal: Its answer to each report.
        num_looks: How often it was asked for deployments since the first report.
    """

    model_version_id: str = "tiny@1"
    is_away: bool = True
    refusal: ServiceError | None = None
    num_looks: int = 0
    told: list[tuple[str, str]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def unanswered(self) -> list[WorkerDeployment]:
        if self.is_away:
            self.is_away = False
            raise Unavailable("The registry is away.")
        self.num_looks += bool(self.told)
        self.news.set()
        return (
            [] if READY in self.told and not self.refusal else [WorkerDeployment("tiny-1-abc", self.model_version_id)]
        )

    async def report(self, deployment_id: str, *, reason: str, has_failed: bool) -> None:
        self.told.append(("failed" if has_failed else "starting" if reason else "ready", reason))
        self.news.set()
        if self.refusal:
            raise self.refusal


async def told(
    known: FakeDeployments, backend: FakeBackend, count: int, *, num_looks: int = 0, wait_seconds: float = 0.01
) -> list[tuple[str, str]]:
    """What is told of the deployment, up to so many times and after so many further looks."""
    generation = GenerationUseCases(
        registry=FakeRegistry(CASES), backend=backend, policy=FakePolicy(), note_tokens=lambda _num: None
    )
    checks = DeploymentChecks(known, generation, look_seconds=0.01, again_seconds=0.01, wait_seconds=wait_seconds)
    task = asyncio.create_task(checks.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(known.told) < count or known.num_looks < num_looks:
            known.news.clear()
            await known.news.wait()
    task.cancel()
    await asyncio.wait({task})
    return known.told


async def test_a_version_is_ready_when_it_has_answered_as_itself() -> None:
    known, backend = FakeDeployments("adapted@2"), FakeBackend()
    assert await told(known, backend, 1) == [READY]
    (workload,) = backend.workloads
    assert (workload.adapter is not None, workload.prompts[0].text) == (True, "Hello")
    assert workload.sampling.max_new_tokens == 1


async def test_a_version_that_breaks_its_worker_fails_in_its_words_until_it_answers() -> None:
    def breaks_once(call: int, place: int) -> None:
        if call == 1:
            raise BackendFaultError("The worker ended while it loaded.")

    failed = ("failed", "The backend broke: The worker ended while it loaded.")
    assert await told(FakeDeployments(), FakeBackend(before=breaks_once), 2) == [failed, READY]


@pytest.mark.parametrize(
    ("version_id", "reason", "words"),
    [
        ("gone@1", FinishReason.STOP, "There is no model version gone@1."),
        ("tiny@1", FinishReason.BACKEND_FAULT, "It broke."),
    ],
)
async def test_what_cannot_answer_is_never_ready(version_id: str, reason: FinishReason, words: str) -> None:
    def answer(prompt: Prompt) -> Answer:
        return replace(answer_to(prompt), finish_reason=reason, detail="It broke.")

    assert (await told(FakeDeployments(version_id), FakeBackend(answer=answer), 1))[0] == ("failed", words)


async def test_busy_workers_are_waited_for() -> None:
    def busy_once(call: int, place: int) -> None:
        if call == 1:
            raise Unavailable("The artifact store does not answer.")

    waits = ("starting", "The artifact store does not answer.")
    assert await told(FakeDeployments(), FakeBackend(before=busy_once), 2) == [waits, READY]


@pytest.mark.parametrize("refusal", [None, Unimplemented("The registry is older.")], ids=["busy", "not reported"])
async def test_what_could_not_be_asked_or_reported_is_left_for_a_while(refusal: ServiceError | None) -> None:
    def busy(call: int, place: int) -> None:
        if refusal is None:
            raise Unavailable("The artifact store does not answer.")

    known, backend = FakeDeployments(refusal=refusal), FakeBackend(before=busy)
    await told(known, backend, 1, num_looks=20, wait_seconds=3600)
    assert (len(known.told), len(backend.workloads)) == (1, 1)
