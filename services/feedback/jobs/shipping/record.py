"""What a shipment has done and tells about it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from services.chassis.jobs import JobContext
from services.feedback.domain.shipment import GateStep, ShipmentState, shipment_of
from services.feedback.domain.work import Asked, WorkProgress
from services.protocols.profile import Profile, get_profile


class ShipmentRecord:
    """The durable record of one shipment; what is recorded is stored before the call returns."""

    def __init__(self, context: JobContext) -> None:
        shipment = shipment_of(context.job)
        self.shipment_id, self.spec, self.inputs = shipment.shipment_id, shipment.asked, shipment.inputs
        self.state = ShipmentState.from_document(context.saved)
        self._context = context
        self._storing = asyncio.Lock()

    @property
    def profile(self) -> Profile:
        """The protocol of the suite."""
        return get_profile(self.inputs.suite.profile_id)

    def asked(self, model_version_id: str) -> Asked:
        """Return a version as it is asked: the form where it is served, if that was named."""
        is_form = model_version_id == self.state.form_model_version_id
        return Asked(model_version_id, self.spec.endpoint if is_form else None)

    def request_id(self, name: str) -> str:
        """Return the id under which this shipment asks another service for `name`, the same after every restart."""
        return f"{self.shipment_id}/{name}"

    async def update(self, **values: Any) -> None:
        """Record what was begun or made, by the names of the state's fields."""
        async with self._storing:
            state = replace(self.state, **values)
            await self._context.checkpoint(state.to_document())
            self.state = state

    async def report(self, step: GateStep, message: str, *, waits: bool = False) -> None:
        """Tell how far a step has come; `waits` while its work is done elsewhere."""
        self._context.waits = waits
        done = sum(result.passed for result in self.state.results)
        await self._context.progress(phase=step.lower(), done=done, total=len(GateStep), unit="steps", message=message)

    async def report_work(self, step: GateStep, progress: WorkProgress, *, of: str = "") -> None:
        """Tell how far work elsewhere has come; `of` names the one of several that go on side by side."""
        count = f"{progress.num_done} of {progress.num_total} {progress.unit}" if progress.num_total else ""
        await self.report(step, " · ".join(filter(None, (of, count, progress.message))), waits=True)

    async def waits(self, sentence: str, is_waiting: bool) -> None:
        """Tell what is waited for, or that the wait is over."""
        await self._context.progress(message=sentence)
        self._context.tells_wait = is_waiting
