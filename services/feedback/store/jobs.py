"""Loops as durable jobs of the chassis: spec, checkpoint and result of a job are all that a loop is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from services.chassis.errors import NotFound
from services.chassis.jobs import Job, JobEvent, JobResource, JobStore, Json
from services.chassis.wire import from_document, to_document
from services.feedback.decisions.decision import DECISION_EVENT
from services.feedback.domain.identifiers import derived_id
from services.feedback.domain.loop import LOOP_KIND, Inputs, Loop, job_spec, loop_of
from services.feedback.domain.rounds import STEP_EVENT, Step
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.spending import Spent
from services.feedback.store.loop_answers import LoopAnswers

MIGRATIONS = Path(__file__).parent / "migrations"
_PAGE = 100
# What judges a run belongs to the run.
_JUDGED = {str(Step.EVALUATE): str(Step.TEST), str(Step.PROBE_EVALUATE): str(Step.PROBE)}


class LoopStore(JobResource[Loop]):
    """Keeps loops where the service keeps its jobs."""

    def __init__(self, jobs: JobStore, answers: LoopAnswers) -> None:
        """Keep them; `answers` are those of persons to their decisions, and go with the loop."""
        super().__init__(jobs, LOOP_KIND, "loop", _load, forget=answers.forget)
        self.answers = answers

    async def find(self, request_id: str) -> Loop | None:
        """Return the loop that was created under this request id, or None."""
        if not request_id:
            return None
        try:
            return loop_of(await self._jobs.get(derived_id("loop", request_id)))
        except NotFound:
            return None

    async def create(self, request_id: str, asked: LoopSpec, inputs: Inputs) -> Loop:
        """Store a loop; the same request id returns the loop of the first call.

        Raises:
            AlreadyExists: The request id was used with another spec; the error names the field.
        """
        spec, loop_id = job_spec(asked, inputs), derived_id("loop", request_id)
        return loop_of(await self._jobs.create(LOOP_KIND, request_id, spec, job_id=loop_id, rewrite=_rewritten))

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


def _rewritten(spec: Json) -> Json:
    return {**spec, "spec": to_document(from_document(LoopSpec, spec["spec"]))}


async def _load(jobs: Sequence[Job]) -> list[Loop]:
    return [loop_of(job) for job in jobs]
