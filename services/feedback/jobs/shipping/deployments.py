"""The suites that deployments must pass before anybody finds them: asked, judged, and told to the registry."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from services.chassis.errors import Aborted, FailedPrecondition, Internal, ServiceError, Unavailable
from services.chassis.machine.caller import in_workspace
from services.chassis.waiting import is_outage
from services.feedback.domain.work import DeploymentTest, DeploymentToTest, TestOrder, WorkProgress
from services.feedback.jobs.loop import cancel_work
from services.feedback.jobs.shipping.services import ShippingServices
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.feedback.ports.neighbours import Deployments, Work
from services.protocols.verdict import UNANSWERED

_LOOK_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 600.0
_MAX_FINISHES = 3
_MAX_FAILURES = 3
_log = structlog.get_logger()


@dataclass
class _Attempt:
    """The asking of one deployment's suite: what was started last, and from when on it may be begun again.

    `number` is part of the request ids; it rises when what was started under them came to nothing.
    """

    task: asyncio.Task[None] | None = None
    number: int = 1
    test_run_id: str = ""
    evaluation_id: str = ""
    num_ended: int = 0
    due_time: float = 0.0

    def put_off(self, seconds: float) -> None:
        """Leave twice as long a pause as the last time."""
        self.due_time = time.monotonic() + min(seconds * 2**self.num_ended, _LONGEST_PAUSE_SECONDS)
        self.num_ended = min(self.num_ended + 1, 32)

    def test(self, summary: str, *, has_passed: bool | None = None) -> DeploymentTest:
        """Return what is told of it."""
        return DeploymentTest(self.test_run_id, self.evaluation_id, summary, has_passed)


class DeploymentTests:
    """Looks for deployments that answer and have a suite to pass, and has it asked of each.

    It is no job: run and evaluation are, with request ids made of the deployment's, so that whoever looks next, after a
    restart or in another replica, goes on with them. Outages say nothing of a deployment: its suite is asked again.

    Args:
        look_seconds: The pause between two looks, and before a deployment's suite is asked for the second time.
    """

    def __init__(
        self, services: ShippingServices, deployments: Deployments, *, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        self._services, self._deployments, self._look_seconds = services, deployments, look_seconds
        self._attempts: dict[str, _Attempt] = {}

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
            tasks = [attempt.task for attempt in self._attempts.values() if attempt.task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        deployments = {deployment.deployment_id: deployment for deployment in await self._deployments.to_test()}
        for deployment_id in self._attempts.keys() - deployments.keys():
            await self._drop(self._attempts.pop(deployment_id))
        for deployment_id, deployment in deployments.items():
            attempt = self._attempts.setdefault(deployment_id, _Attempt())
            if attempt.task and attempt.task.done():
                self._take_down(deployment_id, attempt, attempt.task)
            if deployment.answers and attempt.task is None and time.monotonic() >= attempt.due_time:
                attempt.task = asyncio.create_task(self._test(deployment, attempt))

    def _take_down(self, deployment_id: str, attempt: _Attempt, task: asyncio.Task[None]) -> None:
        """Put the next asking off, and log what a task ended with that nobody expects."""
        attempt.task = None
        attempt.put_off(self._look_seconds)
        if not task.cancelled() and (error := task.exception()):
            _log.error("deployment_test_broke", deployment_id=deployment_id, exc_info=error)

    async def _drop(self, attempt: _Attempt) -> None:
        """End what goes on for a deployment that was deleted, or whose outcome is known."""
        if attempt.task:
            attempt.task.cancel()
            await asyncio.gather(attempt.task, return_exceptions=True)
        await self._cancel(attempt)

    async def _cancel(self, attempt: _Attempt) -> None:
        if attempt.test_run_id:
            await cancel_work(self._services.test_runner, attempt.test_run_id)
        if attempt.evaluation_id:
            await cancel_work(self._services.evaluator, attempt.evaluation_id)

    async def _test(self, deployment: DeploymentToTest, attempt: _Attempt) -> None:
        with in_workspace(deployment.workspace_id):
            try:
                test = await self._judged(deployment, attempt)
            except ServiceError as error:
                # Such errors tell of the machines, and nothing of the model.
                passes_by = is_outage(error) or isinstance(error, Aborted | Internal)
                words = f"{error} The suite is asked again after a pause." if passes_by else str(error)
                test = attempt.test(words, has_passed=None if passes_by else False)
        if not await self._report(deployment, test) or test.has_passed is None:
            return
        attempt.test_run_id = attempt.evaluation_id = ""
        _log.info("deployment_tested", deployment_id=deployment.deployment_id, has_passed=test.has_passed)

    async def _report(self, deployment: DeploymentToTest, test: DeploymentTest) -> bool:
        """Tell the registry, and return whether it listened; what it refuses is no fault of what is tested."""
        try:
            await self._deployments.report(deployment.deployment_id, test)
        except ServiceError as error:
            _log.warning("deployment_test_not_told", deployment_id=deployment.deployment_id, reason=str(error))
            return False
        return True

    async def _judged(self, deployment: DeploymentToTest, attempt: _Attempt) -> DeploymentTest:
        """Return what came of a test that has ended.

        Raises:
            ServiceError: It could not be started or did not end well.
        """
        services, suite = self._services, deployment.test_suite_version_id
        await self._answered(deployment, attempt)
        await self._ended(services.evaluator, attempt.evaluation_id, "evaluation", deployment, attempt)
        reading = (await services.evaluator.readings(attempt.evaluation_id))["conforming_rate", ""]
        words = f"{reading.value:.1%} of its answers to the {reading.num_cases} cases of {suite} conform"
        has_passed = reading.value > 0 and reading.value >= deployment.minimum_rate
        if not has_passed:
            least = f"{deployment.minimum_rate:.1%}" if deployment.minimum_rate else "more than none"
            words += f", and {least} was asked for"
        return attempt.test(f"{words}.", has_passed=has_passed)

    async def _answered(self, deployment: DeploymentToTest, attempt: _Attempt) -> None:
        """Have the suite answered, and the cases asked again that were not.

        Raises:
            Unavailable: Too many were not answered for the last time either.
        """
        runner, name = self._services.test_runner, f"-{attempt.number}" * (attempt.number > 1)
        for number in range(_MAX_FINISHES + 1):
            part = f"{name}-finish-{number}" * bool(number) or name
            await uninterrupted(self._start(deployment, attempt, part, is_finish=number > 0))
            await self._ended(runner, attempt.test_run_id, "test run", deployment, attempt)
            if not await runner.is_incomplete(attempt.test_run_id):
                return
        attempt.number += 1
        raise Unavailable(
            f"Too few answers were given, though what was missing was asked again {_MAX_FINISHES} times.",
            f"See what `drillyard test-runs transcripts {attempt.test_run_id} --cause {UNANSWERED}` names.",
        )

    async def _start(self, deployment: DeploymentToTest, attempt: _Attempt, name: str, *, is_finish: bool) -> None:
        request_id, runner = deployment.deployment_id, self._services.test_runner
        if is_finish:
            run_id = await runner.finish(f"{request_id}/test{name}", attempt.test_run_id)
        else:
            order = TestOrder(
                model_version_id=deployment.model_version_id,
                test_suite_version_id=deployment.test_suite_version_id,
                prompt_size="",
                max_new_tokens=0,
                seed=0,
                endpoint=deployment.endpoint,
            )
            run_id = await runner.start(f"{request_id}/test{name}", order)
        attempt.test_run_id, attempt.evaluation_id = run_id, ""
        attempt.evaluation_id = await self._services.evaluator.start(f"{request_id}/evaluation{name}", run_id)

    async def _ended(
        self, work: Work, work_id: str, noun: str, deployment: DeploymentToTest, attempt: _Attempt
    ) -> None:
        """Return when work has succeeded; where it did not, nothing of the attempt goes on."""

        async def report(progress: WorkProgress) -> None:
            count = f" {progress.num_done} of {progress.num_total} {progress.unit}." if progress.num_total else ""
            test = attempt.test(f"It is asked {deployment.test_suite_version_id}.{count}")
            await self._report(deployment, test)

        try:
            await until_ended(work, work_id, noun, report)
        except ServiceError as error:
            await self._cancel(attempt)
            attempt.number += 1
            has_failed = (await work.state(work_id)).state == "FAILED"
            if isinstance(error, FailedPrecondition) and has_failed and attempt.number <= _MAX_FAILURES:
                # So ends a run too whose server just starts again; what fails each time is the version's own.
                raise Unavailable(error.problem, error.next_step) from error
            raise
