"""Pairs for training by preferences: the right answer to a case against the one that the model gave and that fails."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

from services.evaluator.domain.verdict import Verdict
from services.evaluator.exports.source import Source
from services.evaluator.ports import AnswerEnd, Transcript
from services.protocols.cases import Case, case_to_document
from services.protocols.profile import get_profile
from services.protocols.session import Session
from services.protocols.suites.balance import category_of
from services.protocols.suites.dataset_row import DatasetRow


async def write_pairs(source: Source) -> AsyncGenerator[str]:
    """Yield a row of a dataset for each answer that fails by the model's own doing, to a case of one answer.

    An answer that was cut off, or is empty, shows no end of its own that training could make less likely.
    """
    subject = source.record.subject
    cases = {case.case_id: case for case in await source.suites.list_cases(subject.test_suite_version_id)}
    async for verdict, transcript in source.answered():
        case = cases[verdict.case_id]
        if not verdict.conforming and not case.solution and _has_ended(transcript):
            row = _row(verdict, transcript, case, profile_id=subject.profile_id, prompt_size=subject.prompt_size)
            yield json.dumps(row.to_json(), ensure_ascii=False, default=dict) + "\n"


def _has_ended(transcript: Transcript) -> bool:
    answers = transcript.answers
    return len(answers) == 1 and answers[0].end is AnswerEnd.STOP and bool(answers[0].text.strip() or answers[0].calls)


def _row(verdict: Verdict, transcript: Transcript, case: Case, *, profile_id: str, prompt_size: str) -> DatasetRow:
    profile = get_profile(profile_id)
    session = Session(profile, case, prompt_size)
    return DatasetRow(
        case.case_id if not verdict.repeat else f"{case.case_id}.{verdict.repeat}",
        (*session.messages, profile.example(case, prompt_size)["messages"][-1]),
        tools=tuple(session.tools),
        case=case_to_document(case),
        rejected=next(message for message in reversed(transcript.messages) if message["role"] == "assistant"),
        tool=case.tool,
        category=category_of(case),
        cause=verdict.cause,
        profile_id=profile_id,
    )
