"""Shipments as durable jobs of the chassis: spec and checkpoint of a job are all that a shipment is."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.errors import NotFound
from services.chassis.jobs import Job, JobResource, JobStore, Json
from services.chassis.wire import from_document, to_document
from services.feedback.domain.identifiers import derived_id
from services.feedback.domain.loop import Inputs
from services.feedback.domain.shipment import SHIPMENT_KIND, Shipment, ShipmentSpec, job_spec, shipment_of

_PREFIX = "shipment"


class ShipmentStore(JobResource[Shipment]):
    """Keeps shipments where the service keeps its jobs."""

    def __init__(self, jobs: JobStore) -> None:
        super().__init__(jobs, SHIPMENT_KIND, "shipment", _load)

    async def find(self, request_id: str) -> Shipment | None:
        """Return the shipment that was created under this request id, or None."""
        if not request_id:
            return None
        try:
            return shipment_of(await self._jobs.get(derived_id(_PREFIX, request_id)))
        except NotFound:
            return None

    async def create(self, request_id: str, asked: ShipmentSpec, inputs: Inputs) -> Shipment:
        """Store a shipment; the same request id returns the shipment of the first call.

        Raises:
            AlreadyExists: The request id was used with another spec; the error names the field.
        """
        spec, job_id = job_spec(asked, inputs), derived_id(_PREFIX, request_id)
        return shipment_of(await self._jobs.create(SHIPMENT_KIND, request_id, spec, job_id=job_id, rewrite=_rewritten))


def _rewritten(spec: Json) -> Json:
    return {**spec, "spec": to_document(from_document(ShipmentSpec, spec["spec"]))}


async def _load(jobs: Sequence[Job]) -> list[Shipment]:
    return [shipment_of(job) for job in jobs]
