"""The second part of an evaluation with a grader: a model's scores beside verdicts that are stored already."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from services.chassis.errors import ServiceError
from services.chassis.jobs import JobContext
from services.chassis.waiting import patiently
from services.evaluator.domain.evaluation import (
    SCORE,
    UNTRUSTED_SCORE,
    EvaluationPhase,
    EvaluationRecord,
    GradeMissing,
    ModelGrader,
)
from services.evaluator.domain.tallies import Totals
from services.evaluator.judging.grading import Grader, Question, is_sampled
from services.evaluator.ports import AnswerEnd, ChatModels, EvaluationStore, GivenAnswer, TestRuns, Transcript
from services.evaluator.telemetry import EvaluatorTelemetry
from services.protocols.cases import Case

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
        run_id, failures = record.subject.test_run_id, _Failures()
        while record.num_graded < record.num_verdicts:
            page = await patiently(partial(self.runs.list_transcripts, run_id, record.num_graded), "the test runner")
            if not page:
                break
            num_missed = failures.num_missed
            scores = await _grades(grader, record.grader, cases, page, totals=totals, failures=failures)
            self.telemetry.graded(len(scores), failures.num_missed - num_missed)
            for score in scores.values():
                totals.add_score(name, score)
            record = await self.store.add_scores(
                record.evaluation_id,
                self.context.epoch,
                {place: {name: score} for place, score in scores.items()},
                through=page[-1].sequence,
                totals=totals,
            )
            if failures.are_too_many:
                return await self._give_up(record, totals, failures.reason)
            await self.context.progress(
                phase=EvaluationPhase.GRADE,
                done=record.num_graded,
                total=record.num_verdicts,
                message="The grader reads answers.",
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


@dataclass
class _Failures:
    """Grades that were missing, in all and in a row: a grader that is away is not asked thousands of times."""

    reason: str = ""
    num_missed: int = 0
    num_in_a_row: int = 0

    @property
    def are_too_many(self) -> bool:
        return self.num_in_a_row >= _MAX_FAILURES_IN_A_ROW


async def _grades(
    grader: Grader,
    model_grader: ModelGrader | None,
    cases: Mapping[str, Case],
    page: Sequence[Transcript],
    *,
    totals: Totals,
    failures: _Failures,
) -> dict[int, float]:
    """Return the scores of a page's sampled answers by their sequence."""
    rate = model_grader.sample_rate if model_grader else 0.0
    gate, scores = asyncio.Semaphore(_MAX_CONCURRENCY), dict[int, float]()

    async def grade(transcript: Transcript) -> None:
        async with gate:
            if failures.are_too_many:
                return
            try:
                scores[transcript.sequence] = await grader.grade(_question(cases[transcript.case_id], transcript))
                failures.num_in_a_row = 0
            except GradeMissing as error:
                totals.note(str(error))
                failures.reason = str(error)
                failures.num_missed += 1
                failures.num_in_a_row += 1

    sampled = [item for item in page if _is_whole(item) and is_sampled(rate, item.case_id, item.repeat)]
    async with asyncio.TaskGroup() as group:
        for transcript in sampled:
            group.create_task(grade(transcript))
    return scores


def _is_whole(transcript: Transcript) -> bool:
    return all(answer.end in (AnswerEnd.STOP, AnswerEnd.LENGTH) for answer in transcript.answers)


def _question(case: Case, transcript: Transcript) -> Question:
    texts = [_text(answer) for answer in transcript.answers]
    if len(texts) > 1:
        texts = [f"[answer {place}]\n{text}" for place, text in enumerate(texts, 1)]
    prompt = (f"[{role}]\n{content}" for role, content in case.prompt)
    return Question("\n\n".join((*prompt, case.task)), "\n\n".join(texts), case.reference)


def _text(answer: GivenAnswer) -> str:
    calls = [f"{call.name}({call.arguments})" for call in answer.calls]
    return "\n".join(part for part in (answer.text, *calls) if part)
