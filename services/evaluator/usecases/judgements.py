"""What callers may ask of the judge: single answers, batches and streams, of which nothing is stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from services.chassis.errors import InvalidArgument
from services.evaluator.domain.verdict import Verdict
from services.evaluator.judging.answers import Judge
from services.evaluator.ports import AnswerEnd, GivenAnswer, Transcript
from services.protocols.cases import Case, CaseError, case_from_document
from services.protocols.profile import Profile, UnknownProfile, get_profile

MAX_BATCH_SIZE = 1000
_MAX_DOCUMENT_CHARACTERS = 1 << 20
_MAX_ANSWER_CHARACTERS = 2 << 20
_MAX_ANSWERS = 100
_ENDS = {"": AnswerEnd.STOP, "stop": AnswerEnd.STOP, "length": AnswerEnd.LENGTH}


@dataclass(frozen=True)
class AnswerToJudge:
    """One answer, or the answers of several turns; `finish_reason` is that of the last one."""

    profile_id: str
    case_document: str
    answer: str
    finish_reason: str = ""
    further_answers: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True)
class JudgedAnswer:
    """A verdict, or one sentence on what was wrong with the request and one on what to do."""

    key: str
    verdict: Verdict | None = None
    problem: str = ""


class JudgementUseCases:
    """Judges answers off the event loop, and stores nothing."""

    async def judge(self, asked: AnswerToJudge) -> Verdict:
        """Return the verdict on an answer, or on the answers of a case of several turns.

        The client's replies between the answers are simulated, in the smallest prompt size of the profile.

        Raises:
            InvalidArgument: The profile, the case or the finish reason is not known, or there is too much text.
        """
        return await asyncio.to_thread(_judge, asked)

    async def judge_batch(self, asked: Sequence[AnswerToJudge]) -> list[JudgedAnswer]:
        """Return a result for each answer, in their order; a request that is wrong spoils only its own.

        Raises:
            InvalidArgument: There are more than 1000.
        """
        if len(asked) > MAX_BATCH_SIZE:
            raise InvalidArgument(
                f"The batch has {len(asked)} answers.", f"Send at most {MAX_BATCH_SIZE}.", field="requests"
            )
        return await asyncio.to_thread(lambda: [_result(one) for one in asked])

    async def judge_stream(self, asked: AsyncIterator[AnswerToJudge]) -> AsyncGenerator[JudgedAnswer]:
        """Yield a result for each answer in their order; the next one is read when a result was taken."""
        async for one in asked:
            yield await asyncio.to_thread(_result, one)


def _result(asked: AnswerToJudge) -> JudgedAnswer:
    try:
        return JudgedAnswer(asked.key, _judge(asked))
    except InvalidArgument as error:
        return JudgedAnswer(asked.key, problem=str(error))


def _judge(asked: AnswerToJudge) -> Verdict:
    profile = _profile(asked.profile_id)
    case = _case(asked.case_document, profile)
    last = _ENDS.get(asked.finish_reason)
    if last is None:
        raise InvalidArgument(
            f"There is no finish reason {asked.finish_reason[:50]!r}.", "Use stop or length.", field="finish_reason"
        )
    texts = (asked.answer, *asked.further_answers)
    _check_answers(case, texts)
    ends = [AnswerEnd.STOP] * (len(texts) - 1) + [last]
    answers = tuple(GivenAnswer(text, end) for text, end in zip(texts, ends, strict=True))
    return Judge(profile, profile.prompt_sizes[0]).judge(case, Transcript(0, "", case.case_id, 0, answers))


def _check_answers(case: Case, texts: Sequence[str]) -> None:
    if sum(map(len, texts)) > _MAX_ANSWER_CHARACTERS:
        raise InvalidArgument(
            "The answer is too long.", f"Send at most {_MAX_ANSWER_CHARACTERS} characters.", field="answer"
        )
    most = min(case.max_turns, _MAX_ANSWERS)
    if len(texts) > most:
        raise InvalidArgument(
            f"There are {len(texts)} answers, and the case lets the model give {most}.",
            "Send no more answers than the case has turns.",
            field="further_answers",
        )


def _profile(profile_id: str) -> Profile:
    try:
        return get_profile(profile_id)
    except UnknownProfile as error:
        problem = str(error)
        raise InvalidArgument(
            f"{problem[:1].upper()}{problem[1:]}.", "Name one of the known profiles.", field="profile_id"
        ) from error


def _case(case_document: str, profile: Profile) -> Case:
    if len(case_document) > _MAX_DOCUMENT_CHARACTERS:
        raise InvalidArgument(
            "The case is too long.", f"Send at most {_MAX_DOCUMENT_CHARACTERS} characters.", field="case_document"
        )
    try:
        case = case_from_document(json.loads(case_document))
        profile.check_case(case)
        return case
    except CaseError as error:
        place = ".".join(part for part in ("case_document", error.field) if part)
        raise InvalidArgument(f"The document is no case: {error}.", "Correct that field.", field=place) from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(
            "case_document is not JSON.", "Send the case as one JSON object.", field="case_document"
        ) from error
