"""The suites that deployments must pass before anybody finds them: asked, judged, and told to the registry."""

from __future__ import annotations

import asyncio

import structlog

from services.chassis.errors import ServiceError
from services.chassis.machine.caller import in_workspace
from services.feedback.domain.work import DeploymentTest, DeploymentToTest, TestOrder, WorkProgress
from services.feedback.jobs.loop import cancel_work
from services.feedback.jobs.shipping.services import ShippingServices
from services.feedback.jobs.waiting import until_ended
from services.feedback.ports.neighbours import Deployments

_LOOK_SECONDS = 2.0
_log = structlog.get_logger()


class DeploymentTests:
    """Looks for deployments that answer and have a suite to pass, and has it asked of each.

    It is no job: run and evaluation are, with request ids made of the deployment's, so that whoever looks next, after a
    restart or in another replica, goes on with them.

    Args:
        look_seconds: The pause between two looks.
    """

    def __init__(
        self, services: ShippingServices, deployments: Deployments, *, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        self._services, self._deployments, self._look_seconds = services, deployments, look_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started: dict[str, DeploymentTest] = {}

    async def run(self) -> None:
        """Look again and again, until it is cancelled; the tests that go on then are taken up by whoever looks next."""
        try:
            while True:
                try:
                    await self._look()
                except ServiceError as error:
                    _log.warning("deployments_not_looked_at", reason=str(error))
                await asyncio.sleep(self._look_seconds)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        deployments = {deployment.deployment_id: deployment for deployment in await self._deployments.to_test()}
        for deployment_id, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[deployment_id]
            elif deployment_id not in deployments:
                await self._drop(deployment_id, task)
        for deployment_id, deployment in deployments.items():
            if deployment.answers and deployment_id not in self._tasks:
                self._tasks[deployment_id] = asyncio.create_task(self._test(deployment))

    async def _drop(self, deployment_id: str, task: asyncio.Task[None]) -> None:
        """End the test of a deployment that was deleted."""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if started := self._started.pop(deployment_id, None):
            await cancel_work(self._services.test_runner, started.test_run_id)
            await cancel_work(self._services.evaluator, started.evaluation_id)

    async def _test(self, deployment: DeploymentToTest) -> None:
        deployment_id = deployment.deployment_id
        try:
            with in_workspace(deployment.workspace_id):
                started = self._started[deployment_id] = await self._start(deployment)
                test = await self._ended(deployment, started)
            await self._deployments.report(deployment_id, test)
        except ServiceError as error:
            _log.warning("deployment_not_tested", deployment_id=deployment_id, reason=str(error))
            return
        self._started.pop(deployment_id, None)
        _log.info("deployment_tested", deployment_id=deployment_id, has_passed=test.has_passed)

    async def _start(self, deployment: DeploymentToTest) -> DeploymentTest:
        order = TestOrder(
            model_version_id=deployment.model_version_id,
            test_suite_version_id=deployment.test_suite_version_id,
            prompt_size="",
            max_new_tokens=0,
            seed=0,
            endpoint=deployment.endpoint,
        )
        run_id = await self._services.test_runner.start(f"{deployment.deployment_id}/test", order)
        evaluation_id = await self._services.evaluator.start(f"{deployment.deployment_id}/evaluation", run_id)
        return DeploymentTest(run_id, evaluation_id, f"It is asked {deployment.test_suite_version_id}.")

    async def _ended(self, deployment: DeploymentToTest, started: DeploymentTest) -> DeploymentTest:
        """Return what came of a test that was started, when it has ended."""
        services, suite = self._services, deployment.test_suite_version_id

        async def report(progress: WorkProgress) -> None:
            count = f" {progress.num_done} of {progress.num_total} {progress.unit}." if progress.num_total else ""
            test = DeploymentTest(started.test_run_id, started.evaluation_id, started.summary + count)
            await self._deployments.report(deployment.deployment_id, test)

        try:
            await until_ended(services.test_runner, started.test_run_id, "test run", report)
            await until_ended(services.evaluator, started.evaluation_id, "evaluation", report)
        except ServiceError as error:
            return DeploymentTest(started.test_run_id, started.evaluation_id, str(error), has_passed=False)
        reading = (await services.evaluator.readings(started.evaluation_id))["conforming_rate", ""]
        words = f"{reading.value:.1%} of its answers to the {reading.num_cases} cases of {suite} conform"
        has_passed = reading.value > 0 and reading.value >= deployment.minimum_rate
        if await services.test_runner.is_incomplete(started.test_run_id):
            words, has_passed = f"{words}, but too few were given: see what the test run names", False
        elif not has_passed:
            least = f"{deployment.minimum_rate:.1%}" if deployment.minimum_rate else "more than none"
            words += f", and {least} was asked for"
        return DeploymentTest(started.test_run_id, started.evaluation_id, f"{words}.", has_passed=has_passed)
