"""The second part of an evaluation with a grader: a model's scores beside verdicts that are stored already."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from services.chassis.errors import ServiceError
from services.chassis.jobs import JobContext
from services.chassis.waiting import patiently
from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.grader import SCORE, UNTRUSTED_SCORE, GradeMissing, ModelGrader
from services.evaluator.domain.tallies import Totals
from services.evaluator.judging.grading import Grader, Question, is_sampled
from services.evaluator.ports import AnswerEnd, ChatModels, EvaluationStore, GivenAnswer, TestRuns, Transcript
from services.evaluator.telemetry import EvaluatorTelemetry
from services.protocols.cases import Case

_PATIENCE_SECONDS = 600.0
_MAX_CONCURRENCY = 4
_MAX_FAILURES_IN_A_ROW = 8
_OBEYS = (
    "The grader gave a good score to an answer that only told it to: its scores are not to be trusted and are kept as "
    f"{UNTRUSTED_SCORE}; use a stronger model."
)


@dataclass
class Grading:
    """Asks the grader for each sampled answer once; one that is away or talks nonsense costs scores, not verdicts."""

    context: JobContext
    store: EvaluationStore
    runs: TestRuns
    models: ChatModels
    telemetry: EvaluatorTelemetry

    async def grade(self, record: EvaluationRecord, cases: Mapping[str, Case], totals: Totals) -> EvaluationRecord:
        """Return the evaluation after all its answers were graded, or after the grader proved to be of no use."""
        if record.grader is None or record.num_graded >= record.num_verdicts:
            return record
        try:
            grader = Grader(self.models.open(record.grader), record.grader)
            name = UNTRUSTED_SCORE if await grader.obeys_answers() else SCORE
        except GradeMissing as error:
            return await self._give_up(record, totals, str(error))
        except ServiceError as error:
            return await self._give_up(record, totals, f"{error.problem} {error.next_step}")
        if name == UNTRUSTED_SCORE:
            await self._tell(totals, _OBEYS)
        return await self._grade_all(record, cases, totals, grader=grader, name=name)

    async def _grade_all(
        self, record: EvaluationRecord, cases: Mapping[str, Case], totals: Totals, *, grader: Grader, name: str
    ) -> EvaluationRecord:
        run_id, streak = record.subject.test_run_id, _Streak()
        while record.num_graded < record.num_verdicts:
            page = await patiently(partial(self.runs.list_transcripts, run_id, record.num_graded), _PATIENCE_SECONDS)
            if not page:
                break
            num_missed = streak.num_missed
            scores = await _grades(grader, record.grader, cases, page, totals=totals, streak=streak)
            self.telemetry.graded(len(scores), streak.num_missed - num_missed)
            for score in scores.values():
                totals.add_score(name, score)
            record = await self.store.add_scores(
                record.evaluation_id,
                self.context.epoch,
                {place: {name: score} for place, score in scores.items()},
                through=page[-1].sequence,
                totals=totals,
            )
            if streak.is_over:
                return await self._give_up(record, totals, streak.reason)
            await self.context.progress(
                phase="grade", done=record.num_graded, total=record.num_verdicts, message="The grader reads answers."
            )
        return record

    async def _give_up(self, record: EvaluationRecord, totals: Totals, reason: str) -> EvaluationRecord:
        await self._tell(totals, f"Answers were left without the grader's score: {reason}")
        return await self.store.add_scores(
            record.evaluation_id, self.context.epoch, {}, through=record.num_verdicts, totals=totals
        )

    async def _tell(self, totals: Totals, sentence: str) -> None:
        totals.notes[sentence] = 1
        await self.context.event("message", {"text": sentence})


class _Streak:
    """Grades that were missing one after another: a grader that is away is not asked thousands of times."""

    def __init__(self) -> None:
        self.reason = ""
        self.num_missed = 0
        self._count = 0

    @property
    def is_over(self) -> bool:
        return self._count >= _MAX_FAILURES_IN_A_ROW

    def missed(self, reason: str) -> None:
        self._count, self.reason = self._count + 1, reason
        self.num_missed += 1

    def given(self) -> None:
        self._count = 0


async def _grades(
    grader: Grader,
    asked: ModelGrader | None,
    cases: Mapping[str, Case],
    page: Sequence[Transcript],
    *,
    totals: Totals,
    streak: _Streak,
) -> dict[int, float]:
    """Return the scores of a page's sampled answers by their sequence."""
    rate = asked.sample_rate if asked else 0.0
    gate, scores = asyncio.Semaphore(_MAX_CONCURRENCY), dict[int, float]()

    async def one(transcript: Transcript) -> None:
        async with gate:
            if streak.is_over:
                return
            try:
                scores[transcript.sequence] = await grader.grade(_question(cases[transcript.case_id], transcript))
                streak.given()
            except GradeMissing as error:
                totals.note(str(error))
                streak.missed(str(error))

    sampled = [item for item in page if _was_made(item) and is_sampled(rate, item.case_id, item.repeat)]
    async with asyncio.TaskGroup() as group:
        for transcript in sampled:
            group.create_task(one(transcript))
    return scores


def _was_made(transcript: Transcript) -> bool:
    return all(one.end in (AnswerEnd.STOP, AnswerEnd.LENGTH) for one in transcript.answers)


def _question(case: Case, transcript: Transcript) -> Question:
    told = [_told(one) for one in transcript.answers]
    answer = (
        told[0] if len(told) == 1 else "\n\n".join(f"[answer {place + 1}]\n{text}" for place, text in enumerate(told))
    )
    told_before = (f"[{role}]\n{content}" for role, content in case.prompt)
    return Question("\n\n".join((*told_before, case.task)), answer, case.reference)


def _told(given: GivenAnswer) -> str:
    calls = [f"{call.name}({call.arguments})" for call in given.calls]
    return "\n".join(part for part in (given.text, *calls) if part)
