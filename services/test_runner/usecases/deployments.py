"""Deployments that workers serve: each is asked something as its model before anybody is told that it is ready."""

import asyncio
from contextlib import aclosing, suppress
from time import monotonic

from services.chassis.errors import Busy, ServiceError, Unavailable
from services.chassis.wire import from_document
from services.test_runner.domain.generation import GenerationOrder, Sampling
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.generation import Answer
from services.test_runner.ports.registry import Deployments, WorkerDeployment
from services.test_runner.usecases.generation import GenerationUseCases

_ONE_TOKEN = from_document(Sampling, {"max_new_tokens": 1})
_WHOLE = (FinishReason.STOP, FinishReason.LENGTH)
_CALLER = "deployments"


class DeploymentChecks:
    """Asks what workers are to serve, and tells the registry what came.

    Args:
        look_seconds: The pause between two looks for deployments.
        again_seconds: What could not answer is asked again after it: memory or a disk may be free again.
        wait_seconds: The same for what was not asked since workers are busy, and for what could not be reported.
    """

    def __init__(
        self,
        deployments: Deployments,
        generation: GenerationUseCases,
        *,
        look_seconds: float = 1.0,
        again_seconds: float = 60.0,
        wait_seconds: float = 5.0,
    ) -> None:
        self._deployments, self._generation = deployments, generation
        self._look_seconds, self._again_seconds, self._wait_seconds = look_seconds, again_seconds, wait_seconds
        self._asked: set[str] = set()
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """Look for deployments again and again until this is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                # The registry may be away for a while.
                with suppress(ServiceError):
                    for deployment in await self._due():
                        self._asked.add(deployment.deployment_id)
                        tasks.create_task(self._check(deployment))
                await asyncio.sleep(self._look_seconds)

    async def _due(self) -> list[WorkerDeployment]:
        unanswered = {deployment.deployment_id: deployment for deployment in await self._deployments.unanswered()}
        self._not_before = {key: at for key, at in self._not_before.items() if key in unanswered}
        now = monotonic()
        return [
            deployment
            for key, deployment in unanswered.items()
            if key not in self._asked and self._not_before.get(key, now) <= now
        ]

    async def _check(self, deployment: WorkerDeployment) -> None:
        reason, has_failed = await self._ask(deployment.model_version_id)
        pause = self._again_seconds if has_failed else self._wait_seconds
        try:
            await self._deployments.report(deployment.deployment_id, reason=reason, has_failed=has_failed)
            pause = pause if reason else 0.0
        except ServiceError:
            # It was taken down, or is asked again when the registry is back.
            return
        finally:
            self._asked.discard(deployment.deployment_id)
            self._not_before[deployment.deployment_id] = monotonic() + pause

    async def _ask(self, model_version_id: str) -> tuple[str, bool]:
        """Return why a version does not answer, empty where it does, and whether that is more than a wait."""
        order = GenerationOrder(model_version_id=model_version_id, prompt="Hello", sampling=_ONE_TOKEN)
        try:
            async with aclosing(self._generation.generate(order, _CALLER)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Answer) and piece.finish_reason not in _WHOLE:
                        return piece.detail or f"It ended with {piece.finish_reason.value}.", True
        except ServiceError as error:
            is_wait = isinstance(error, Busy) or (isinstance(error, Unavailable) and not error.fields.get("fault"))
            return error.problem, not is_wait
        return "", False
