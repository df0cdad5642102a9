"""Deployments that must pass a suite: asked once, judged, told in words, and left alone when they are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.chassis.errors import NotFound, PermissionDenied, Unavailable
from services.chassis.jobs import JobState
from services.feedback.domain.goals import Reading
from services.feedback.domain.work import DeploymentTest, DeploymentToTest, WorkProgress, WorkState
from services.feedback.jobs.shipping.deployments import DeploymentTests
from tests.machine import PATIENCE_SECONDS
from tests.unit.feedback.shipping.world import SUITE, VERSION, ShippingWorld

DEPLOYMENT = DeploymentToTest("tiny-1", VERSION, SUITE, 0.0, "team", answers=True, endpoint={"base_url": "http://a/v1"})


@dataclass
class FakeDeployments:
    """A registry that is away for the first look, and has one deployment until its test has an outcome."""

    deployment: DeploymentToTest | None = DEPLOYMENT
    is_away: bool = True
    num_looks: int = 0
    told: list[DeploymentTest] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def to_test(self) -> list[DeploymentToTest]:
        self.num_looks += 1
        if self.is_away:
            self.is_away = False
            raise Unavailable("The registry is away.")
        return [self.deployment] if self.deployment and not self.ended else []

    async def report(self, deployment_id: str, test: DeploymentTest) -> None:
        async with self.news:
            self.told.append(test)
            self.news.notify_all()

    @property
    def ended(self) -> list[DeploymentTest]:
        return [test for test in self.told if test.has_passed is not None]


async def outcome(world: ShippingWorld, deployments: FakeDeployments) -> DeploymentTest:
    task = asyncio.create_task(DeploymentTests(world.services, deployments, look_seconds=0.01).run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), deployments.news:
            await deployments.news.wait_for(lambda: deployments.ended)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return deployments.ended[0]


def conforming(world: ShippingWorld, rate: float) -> None:
    async def readings(evaluation_id: str) -> Any:
        return {("conforming_rate", ""): Reading(rate, 24)}

    evaluator: Any = world.evaluator
    evaluator.readings = readings


@pytest.mark.parametrize(
    ("rate", "least", "has_passed", "words"),
    [
        (0.5, 0.0, True, "50.0% of its answers to the 24 cases of roo_xml/core@1 conform."),
        (0.0, 0.0, False, "conform, and more than none was asked for."),
        (0.5, 0.6, False, "conform, and 60.0% was asked for."),
    ],
)
async def test_the_rate_decides_and_is_told(rate: float, least: float, has_passed: bool, words: str) -> None:
    world, deployments = ShippingWorld(), FakeDeployments(replace(DEPLOYMENT, minimum_rate=least))
    conforming(world, rate)
    test = await outcome(world, deployments)
    assert test.has_passed is has_passed and words in test.summary
    (order,) = world.test_runner.bodies.values()
    assert (order.model_version_id, order.test_suite_version_id, order.endpoint) == (
        VERSION,
        SUITE,
        DEPLOYMENT.endpoint,
    )
    assert (test.test_run_id, test.evaluation_id) == ("run-0", "evaluation-0")


async def test_a_run_that_fails_each_time_fails_the_deployment_in_its_own_words() -> None:
    world = ShippingWorld()
    world.test_runner.outcome = WorkState(JobState.FAILED, "FAILED_PRECONDITION", "Its template is broken.", "")
    test = await outcome(world, FakeDeployments())
    assert test.has_passed is False and "Its template is broken." in test.summary
    assert list(world.test_runner.starts) == ["test", "test-2", "test-3"]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "ABORTED", "FAILED_PRECONDITION"])
async def test_an_outage_is_told_and_the_suite_is_asked_again(code: str) -> None:
    world, deployments = ShippingWorld(), FakeDeployments()
    runner = world.test_runner
    conforming(world, 0.5)

    async def state(work_id: str) -> WorkState:
        away = WorkState(JobState.FAILED, code, "The pod is gone.", "")
        return away if work_id == "run-0" else WorkState(JobState.SUCCEEDED)

    runner.state = state  # type: ignore[method-assign]
    assert (await outcome(world, deployments)).has_passed
    assert any("The pod is gone." in test.summary and test.has_passed is None for test in deployments.told)
    assert runner.starts == {"test": 1, "test-2": 1} and world.evaluator.starts["evaluation-2"] == 1


@pytest.mark.parametrize("num_incomplete", [1, 4])
async def test_missing_answers_are_asked_for_again_and_fail_nothing(num_incomplete: int) -> None:
    world, deployments = ShippingWorld(), FakeDeployments()
    conforming(world, 0.5)
    runner: Any = world.test_runner

    async def is_incomplete(run_id: str) -> bool:
        return int(run_id.removeprefix("run-")) < num_incomplete

    runner.is_incomplete, runner.finish = is_incomplete, runner.begin
    assert (await outcome(world, deployments)).has_passed
    finishes = [f"test-finish-{number}" for number in (1, 2, 3)]
    assert list(runner.starts) == ["test", *finishes[:num_incomplete], "test-2"][: num_incomplete + 1]


async def test_a_test_that_may_not_be_started_fails_in_its_own_words() -> None:
    world, deployments = ShippingWorld(), FakeDeployments()

    async def start(request_id: str, order: Any) -> str:
        raise PermissionDenied("No such host may be asked.", "Allow it.")

    world.test_runner.start = start  # type: ignore[method-assign]
    test = await outcome(world, deployments)
    assert (test.has_passed, test.summary) == (False, "No such host may be asked. Allow it.")


async def test_the_pauses_between_starts_grow_while_an_outage_lasts() -> None:
    world, deployments = ShippingWorld(), FakeDeployments()

    async def start(request_id: str, order: Any) -> str:
        raise Unavailable("The runner is away.")

    world.test_runner.start = start  # type: ignore[method-assign]
    task = asyncio.create_task(DeploymentTests(world.services, deployments, look_seconds=0.01).run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while deployments.num_looks < 30:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert deployments.told and not deployments.ended
    assert "The runner is away." in deployments.told[0].summary
    assert len(deployments.told) < 20


async def test_a_report_that_is_refused_is_no_outcome_and_deletion_then_ends_the_work() -> None:
    world, deployments = ShippingWorld(), FakeDeployments(is_away=False)
    conforming(world, 0.5)
    refused: list[DeploymentTest] = []

    async def report(deployment_id: str, test: DeploymentTest) -> None:
        refused.append(test)
        deployments.deployment = None
        raise NotFound("There is no such deployment.")

    deployments.report = report  # type: ignore[method-assign]
    task = asyncio.create_task(DeploymentTests(world.services, deployments, look_seconds=0.01).run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not world.evaluator.cancelled:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not any(test.has_passed is False for test in refused)
    assert (world.test_runner.cancelled, world.evaluator.cancelled) == (["run-0"], ["evaluation-0"])


async def test_what_does_not_answer_is_not_asked_and_what_is_deleted_is_asked_no_more() -> None:
    world, deployments = ShippingWorld(), FakeDeployments(replace(DEPLOYMENT, answers=False))
    begun, runner = asyncio.Event(), world.test_runner
    runner.outcome = WorkState(JobState.RUNNING)

    async def watch(work_id: str) -> AsyncGenerator[WorkProgress, None]:
        yield WorkProgress("generate", 3, 24, "cases")
        begun.set()
        await asyncio.Event().wait()

    runner.watch = watch  # type: ignore[method-assign]
    task = asyncio.create_task(DeploymentTests(world.services, deployments, look_seconds=0.01).run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        # The registry is away for the first one; what the second one began has come this far by the third.
        while deployments.num_looks < 3:
            await asyncio.sleep(0.01)
        assert not runner.bodies
        deployments.deployment = DEPLOYMENT
        await begun.wait()
        assert deployments.told[-1].summary == f"It is asked {SUITE}. 3 of 24 cases."
        deployments.deployment = None
        while not runner.cancelled:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert runner.cancelled == ["run-0"] and runner.starts.total() == 1
