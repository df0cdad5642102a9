"""Deployments that must pass a suite: asked once, judged, told in words, and left alone when they are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.chassis.errors import Unavailable
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
    told: list[DeploymentTest] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def to_test(self) -> list[DeploymentToTest]:
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


@pytest.mark.parametrize(
    ("rate", "least", "is_incomplete", "has_passed", "words"),
    [
        (0.5, 0.0, False, True, "50.0% of its answers to the 24 cases of roo_xml/core@1 conform."),
        (0.0, 0.0, False, False, "conform, and more than none was asked for."),
        (0.5, 0.6, False, False, "conform, and 60.0% was asked for."),
        (0.9, 0.0, True, False, "too few were given"),
    ],
)
async def test_the_rate_decides_and_is_told(
    rate: float, least: float, is_incomplete: bool, has_passed: bool, words: str
) -> None:
    world, deployments = ShippingWorld(), FakeDeployments(replace(DEPLOYMENT, minimum_rate=least))
    fakes: Any = world.evaluator, world.test_runner

    async def readings(evaluation_id: str) -> Any:
        return {("conforming_rate", ""): Reading(rate, 24)}

    async def incomplete(run_id: str) -> bool:
        return is_incomplete

    fakes[0].readings, fakes[1].is_incomplete = readings, incomplete
    test = await outcome(world, deployments)
    assert test.has_passed is has_passed and words in test.summary
    (order,) = world.test_runner.bodies.values()
    assert (order.model_version_id, order.test_suite_version_id, order.endpoint) == (
        VERSION,
        SUITE,
        DEPLOYMENT.endpoint,
    )
    assert (test.test_run_id, test.evaluation_id) == ("run-0", "evaluation-0")


async def test_a_run_that_fails_fails_the_deployment_in_its_own_words() -> None:
    world = ShippingWorld()
    world.test_runner.outcome = WorkState(JobState.FAILED, "FAILED_PRECONDITION", "The server is gone.", "")
    test = await outcome(world, FakeDeployments())
    assert test.has_passed is False and "The server is gone." in test.summary


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
        while deployments.is_away:
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
