"""The shipment: export a version, prove that the form does what the version does, and publish it."""

from __future__ import annotations

import asyncio

from services.chassis.errors import DatabaseAway, DatabaseFull, FailedPrecondition, LeaseOver, ServiceError
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import waits_told
from services.feedback.domain.shipment import GateResult, GateStep, ShipmentState
from services.feedback.jobs.loop import cancel_work
from services.feedback.jobs.shipping.gate import GateSteps
from services.feedback.jobs.shipping.record import ShipmentRecord
from services.feedback.jobs.shipping.services import ShippingServices
from services.feedback.ports.neighbours import Work

_NEXT_STEPS = {
    GateStep.PROMPTS: "Mend what its class names in the form, or train with the prompts that it makes; nothing was "
    "published.",
    GateStep.LOG_PROBS: "Export again from the version, with a wider number type if this one loses too much; nothing "
    "was published.",
    GateStep.SUITE: "Choose a wider number type, or allow a larger loss if that is what you can live with; nothing was "
    "published.",
}


class ShipmentJob:
    """Does jobs of kind "shipment".

    The id of everything that is started is recorded before it is waited for, and request ids follow from the shipment
    and the step, so a shipment that was killed anywhere goes on without doing anything twice.
    """

    def __init__(self, services: ShippingServices) -> None:
        self._services = services

    async def run(self, context: JobContext) -> Json:
        """Take the form through all steps.

        Raises:
            FailedPrecondition: It does not pass one, which the error names; nothing was published.
        """
        record = ShipmentRecord(context)
        steps = GateSteps(self._services, record)
        try:
            with waits_told(record.waits):
                for step in GateStep:
                    if not record.state.has_passed(step):
                        await self._pass(record, step, steps)
        except asyncio.CancelledError:
            if context.cancel_requested:
                await self.clean_up(context)
            raise
        except (DatabaseAway, DatabaseFull, LeaseOver):
            # The next that has the job goes on with what was started.
            raise
        except ServiceError:
            await self.clean_up(context)
            raise
        return {"locations": list(record.state.locations)}

    async def clean_up(self, context: JobContext) -> Json:
        """Cancel what was started in other services and has not ended."""
        state, services = ShipmentState.from_document(context.saved), self._services
        started: list[tuple[Work, str]] = [
            (services.exports, state.base_export_id),
            (services.exports, state.export_id),
            (services.evaluator, state.evaluation_id),
            (services.evaluator, state.form_evaluation_id),
            (services.test_runner, state.test_run_id),
            (services.test_runner, state.form_test_run_id),
            *((services.publications, publication_id) for publication_id in state.publication_ids),
        ]
        for work, work_id in started:
            if work_id:
                await cancel_work(work, work_id)
        return {}

    async def _pass(self, record: ShipmentRecord, step: GateStep, steps: GateSteps) -> None:
        await record.report(step, "")
        result = await steps.take(step)
        await record.update(results=(*record.state.results, result))
        if not result.passed:
            raise _refusal(result)


def _refusal(result: GateResult) -> FailedPrecondition:
    step = result.step.replace("_", " ").lower()
    reason = result.differences[0] if result.differences else result.summary
    return FailedPrecondition(
        f"The form does not pass the step {step}: {reason}", _NEXT_STEPS[result.step], step=result.step.value
    )
