"""What callers may do with verdicts."""

from __future__ import annotations

import asyncio
import json

from services.chassis.errors import InvalidArgument
from services.evaluator.domain.verdict import NO_CAUSE, Verdict, VerdictFilter
from services.evaluator.judging import judge_all
from services.evaluator.ports import AnswerEnd, EvaluationStore, Transcript
from services.evaluator.usecases.evaluations import EvaluationUseCases
from services.evaluator.usecases.paging import checked_page_size, place_of
from services.protocols.cases import Case, CaseError, case_from_document
from services.protocols.profile import Profile, UnknownProfile, get_profile
from services.protocols.verdict import Cause

_MAX_DOCUMENT_CHARACTERS = 1 << 20
_MAX_ANSWER_CHARACTERS = 2 << 20
_ENDS = {"": AnswerEnd.STOP, "stop": AnswerEnd.STOP, "length": AnswerEnd.LENGTH}
_CAUSES = frozenset({"", NO_CAUSE, *(cause.value for cause in Cause)})


class VerdictUseCases:
    """Lists verdicts, and judges single answers."""

    def __init__(self, *, store: EvaluationStore, evaluations: EvaluationUseCases) -> None:
        self._store = store
        self._evaluations = evaluations

    async def list_verdicts(
        self, evaluation_id: str, wanted: VerdictFilter, *, page_size: int, page_token: str
    ) -> tuple[list[Verdict], str]:
        """Return verdicts in the order of judging, and the token of the next page, empty when there is none yet.

        Raises:
            NotFound: There is no such evaluation.
            InvalidArgument: The filter names no known cause.
        """
        if wanted.cause not in _CAUSES:
            raise InvalidArgument(
                f"There is no cause {wanted.cause[:50]!r}.",
                f"Use one of: {', '.join(sorted(_CAUSES - {''}))}.",
                field="cause",
            )
        size = checked_page_size(page_size)
        await self._evaluations.get(evaluation_id)
        after = place_of(page_token) or 0
        found = await self._store.list_verdicts(evaluation_id, wanted, after_sequence=after, limit=size + 1)
        token = str(found[size - 1].sequence) if len(found) > size else ""
        return list(found[:size]), token

    async def judge(self, profile_id: str, case_document: str, answer: str, finish_reason: str) -> Verdict:
        """Judge one answer without storing anything.

        Raises:
            InvalidArgument: The profile, the case or the finish reason is not known, or the answer is too long.
        """
        profile = _profile(profile_id)
        case = _case(case_document, profile)
        end = _ENDS.get(finish_reason)
        if end is None:
            raise InvalidArgument(
                f"There is no finish reason {finish_reason[:50]!r}.", "Use stop or length.", field="finish_reason"
            )
        if len(answer) > _MAX_ANSWER_CHARACTERS:
            raise InvalidArgument(
                "The answer is too long.", f"Send at most {_MAX_ANSWER_CHARACTERS} characters.", field="answer"
            )
        transcript = Transcript(0, "", case.case_id, 0, answer, end)
        return (await asyncio.to_thread(judge_all, profile, {case.case_id: case}, [transcript]))[0]


def _profile(profile_id: str) -> Profile:
    try:
        return get_profile(profile_id)
    except UnknownProfile as error:
        raise InvalidArgument(f"{error}.", "Name one of the known profiles.", field="profile_id") from error


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
