"""What this service keeps as durable jobs alone: spec, checkpoint and result of a job are all that it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.artifacts import Artifact
from services.chassis.database import Database, insert_if_absent
from services.chassis.database.lease import durable
from services.chassis.errors import NotFound
from services.chassis.jobs import JobEvent, JobResource, JobStore, Json, each
from services.chassis.wire import from_document, to_document
from services.feedback.decisions.decision import DECISION_EVENT, DecisionChange
from services.feedback.domain.dataset_build import (
    DATASET_BUILD_KIND,
    DatasetBuild,
    DatasetBuildSpec,
    build_of,
)
from services.feedback.domain.identifiers import derived_id
from services.feedback.domain.item_spec import FEEDBACK_IMPORT_KIND, FeedbackImport, import_of
from services.feedback.domain.loop import LOOP_KIND, Inputs, Loop, loop_of
from services.feedback.domain.rounds import STEP_EVENT, Step
from services.feedback.domain.shipment import SHIPMENT_KIND, Shipment, ShipmentSpec, shipment_of
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.spending import Spent
from services.feedback.ports.stores import LoopAnswers
from services.feedback.store.tables import LOOP_ANSWERS

MIGRATIONS = Path(__file__).parent / "migrations"
_PAGE = 100
# What judges a run belongs to the run.
_JUDGED = {str(Step.EVALUATE): str(Step.TEST), str(Step.PROBE_EVALUATE): str(Step.PROBE)}


class JobLoopStore(JobResource[Loop]):
    """Keeps loops where the service keeps its jobs."""

    def __init__(self, jobs: JobStore, answers: LoopAnswers) -> None:
        """Keep them; `answers` are those of persons to their decisions, and go with the loop."""
        super().__init__(jobs, LOOP_KIND, "loop", each(loop_of), forget=answers.forget)
        self.answers = answers

    async def find(self, request_id: str) -> Loop | None:
        """Return the loop that was created under this request id, or None."""
        return await self.known(derived_id("loop", request_id)) if request_id else None

    async def create(self, request_id: str, asked: LoopSpec, inputs: Inputs) -> Loop:
        """Store a loop; the same request id returns the loop of the first call.

        Raises:
            AlreadyExists: The request id was used with another spec; the error names the field.
        """
        spec = {"spec": to_document(asked), "inputs": inputs.to_document()}
        rewrite = _written_anew(LoopSpec)
        return await self.add(request_id, spec, job_id=derived_id("loop", request_id), rewrite=rewrite)

    async def spent(self, loop_ids: Sequence[str]) -> dict[str, Spent]:
        """Return what loops have cost so far, by id; those that were deleted are left out."""
        spent: dict[str, Spent] = {}
        for loop_id in loop_ids:
            with suppress(NotFound):
                spent[loop_id] = (await self.get(loop_id)).spent
        return spent

    async def told_steps(self, loop_id: str) -> set[tuple[int, str, str]]:
        """Return round, step and state of every step event of a loop; a decision is a step named by its number."""
        told: set[tuple[int, str, str]] = set()
        async for event in self._events(loop_id):
            if event.type in (STEP_EVENT, DECISION_EVENT):
                step = event.payload
                told.add((int(step["round"]), str(step.get("step", step.get("number"))), step["state"]))
        return told

    async def step_seconds(self, loop_id: str) -> dict[str, float]:
        """Return how long the steps of a loop took, by name, from the newest round that has ended them.

        A test and a probe end with their judging, which goes on beside them.
        """
        began: dict[tuple[int, str], datetime] = {}
        seconds: dict[str, float] = {}
        async for event in self._events(loop_id):
            if event.type == STEP_EVENT:
                number, name = int(event.payload["round"]), str(event.payload["step"])
                step = _JUDGED.get(name, name)
                start = began.setdefault((number, step), event.time)
                if event.payload["state"] == "finished":
                    seconds[step] = max((event.time - start).total_seconds(), 0.0)
        return seconds

    async def _events(self, loop_id: str) -> AsyncIterator[JobEvent]:
        sequence = 0
        while events := await self._jobs.events(loop_id, sequence, _PAGE):
            sequence = events[-1].sequence
            for event in events:
                yield event


class JobShipmentStore(JobResource[Shipment]):
    """Keeps shipments where the service keeps its jobs."""

    def __init__(self, jobs: JobStore) -> None:
        super().__init__(jobs, SHIPMENT_KIND, "shipment", each(shipment_of))

    async def find(self, request_id: str) -> Shipment | None:
        """Return the shipment that was created under this request id, or None."""
        return await self.known(derived_id("shipment", request_id)) if request_id else None

    async def create(self, request_id: str, asked: ShipmentSpec, inputs: Inputs) -> Shipment:
        """Store a shipment; the same request id returns the shipment of the first call.

        Raises:
            AlreadyExists: The request id was used with another spec; the error names the field.
        """
        spec = {"spec": to_document(asked), "inputs": inputs.to_document()}
        rewrite = _written_anew(ShipmentSpec)
        return await self.add(request_id, spec, job_id=derived_id("shipment", request_id), rewrite=rewrite)


class JobBuildStore(JobResource[DatasetBuild]):
    """Keeps builds where the service keeps its jobs."""

    def __init__(self, jobs: JobStore) -> None:
        super().__init__(jobs, DATASET_BUILD_KIND, "dataset build", each(build_of))

    async def create(self, request_id: str, spec: DatasetBuildSpec) -> DatasetBuild:
        """Store a build; the same request id returns the build of the first call.

        Raises:
            AlreadyExists: The request id was used with another spec; the error names the field.
        """
        return await self.add(request_id, {"spec": to_document(spec)}, rewrite=_written_anew(DatasetBuildSpec))


class JobImportStore(JobResource[FeedbackImport]):
    """Keeps imports where the service keeps its jobs."""

    def __init__(self, jobs: JobStore) -> None:
        super().__init__(jobs, FEEDBACK_IMPORT_KIND, "feedback import", each(import_of))

    async def create(self, request_id: str, artifact: Artifact, author: str) -> FeedbackImport:
        """Store an import; the same request id returns the import of the first call.

        Raises:
            AlreadyExists: The request id was used with another file, or by somebody else.
        """
        return await self.add(request_id, {"artifact": asdict(artifact), "author": author})


def _written_anew(spec_type: type[Any]) -> Callable[[Json], Json]:
    """Return what makes of an earlier job's spec what this release would store."""
    return lambda stored: {**stored, "spec": to_document(from_document(spec_type, stored["spec"]))}


@durable
class SqlLoopAnswers:
    """What persons said to decisions, until the loop is deleted: the first answer to a decision counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give(self, loop_id: str, number: int, change: DecisionChange) -> DecisionChange:
        """Store the answer to a decision unless there is one, and return the one that counts."""
        row = {"loop_id": loop_id, "number": number, "document": to_document(change)}
        async with self._database.session() as session:
            await insert_if_absent(session, LOOP_ANSWERS, row)
            return await _read(session, loop_id, number) or change

    async def find(self, loop_id: str, number: int) -> DecisionChange | None:
        """Return the answer to a decision, or None."""
        async with self._database.reading() as session:
            return await _read(session, loop_id, number)

    async def forget(self, loop_id: str) -> None:
        """Remove the answers to a loop's decisions."""
        async with self._database.session() as session:
            await session.execute(delete(LOOP_ANSWERS).where(LOOP_ANSWERS.c.loop_id == loop_id))


async def _read(session: AsyncSession, loop_id: str, number: int) -> DecisionChange | None:
    query = select(LOOP_ANSWERS.c.document).where(LOOP_ANSWERS.c.loop_id == loop_id, LOOP_ANSWERS.c.number == number)
    document = (await session.execute(query)).scalar_one_or_none()
    return None if document is None else from_document(DecisionChange, document)
