"""Pairs for training by preferences: an answer that conforms against the one that the model gave and that fails."""

import json
from collections.abc import AsyncGenerator

from services.evaluator.domain.verdict import Verdict
from services.evaluator.exports.source import Source
from services.evaluator.ports import AnswerEnd, Transcript
from services.protocols.cases import Case, case_to_document
from services.protocols.judging.healing import healed
from services.protocols.profile import Profile, get_profile
from services.protocols.session import Session
from services.protocols.suites.balance import category_of
from services.protocols.suites.dataset_row import DatasetRow
from services.protocols.turn import Answer, Message, ToolCall

HEALED, REFERENCE = "healed", "reference"


async def write_pairs(source: Source) -> AsyncGenerator[str]:
    """Yield a row of a dataset for each answer that fails by the model's own doing, to a case of one answer.

    The better side is the answer itself, healed, which is nearest to what the model says; where nothing of it may stay,
    the reference. The row's reason says which.

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
    right = profile.example(case, prompt_size)["messages"][-1]
    own = next(message for message in reversed(transcript.messages) if message["role"] == "assistant")
    chosen = healed(own, right, lambda message: profile.judge(case, _answer(profile, message)).conforming)
    return DatasetRow(
        case.case_id if not verdict.repeat else f"{case.case_id}.{verdict.repeat}",
        (*session.messages, chosen),
        tools=tuple(session.tools),
        case=case_to_document(case),
        rejected=own,
        tool=case.tool,
        category=category_of(case),
        cause=verdict.cause,
        profile_id=profile_id,
        reason=REFERENCE if chosen == right else HEALED,
    )


def _answer(profile: Profile, message: Message) -> Answer:
    """Return what a message says to the client: calls beside its text, or those that the text holds."""
    calls = [
        ToolCall(call["function"]["name"], call["function"]["arguments"], call["id"])
        for call in message.get("tool_calls", ())
    ]
    return Answer(message["content"], tuple(calls)) if calls else profile.read_answer(message["content"])
