"""Loops as durable jobs of the chassis: spec, checkpoint and result of a job are all that a loop is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.chassis.errors import NotFound
from services.chassis.jobs import Job, JobResource, JobStore, Json
from services.chassis.wire import from_document, to_document
from services.feedback.decisions.decision import DECISION_EVENT
from services.feedback.domain.identifiers import derived_id
from services.feedback.domain.loop import LOOP_KIND, Inputs, Loop, job_spec, loop_of
from services.feedback.domain.rounds import STEP_EVENT
from services.feedback.domain.spec import LoopSpec
from services.feedback.ports import LoopAnswers

MIGRATIONS = Path(__file__).parent / "migrations"
_PAGE = 100


class JobLoopStore(JobResource[Loop]):
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

    async def told_steps(self, loop_id: str) -> set[tuple[int, str, str]]:
        """Return round, step and state of every step event of a loop; a decision is a step named by its number."""
        told: set[tuple[int, str, str]] = set()
        sequence = 0
        while events := await self._jobs.events(loop_id, sequence, _PAGE):
            sequence = events[-1].sequence
            steps = [event.payload for event in events if event.type == STEP_EVENT]
            told |= {(int(step["round"]), step["step"], step["state"]) for step in steps}
            decisions = [event.payload for event in events if event.type == DECISION_EVENT]
            told |= {(int(each["round"]), str(each["number"]), each["state"]) for each in decisions}
        return told


def _rewritten(spec: Json) -> Json:
    return {**spec, "spec": to_document(from_document(LoopSpec, spec["spec"]))}


async def _load(jobs: Sequence[Job]) -> list[Loop]:
    return [loop_of(job) for job in jobs]
