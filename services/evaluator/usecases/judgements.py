"""What callers may ask of the judge: single answers, batches and streams, of which nothing is stored."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace

from services.chassis.errors import InvalidArgument
from services.evaluator.domain.verdict import Verdict
from services.evaluator.judging.answers import Judge
from services.evaluator.judging.form import judge_form
from services.evaluator.ports import AnswerEnd, GivenAnswer, Transcript
from services.protocols.cases import Case, CaseError, case_from_document
from services.protocols.profile import Profile, UnknownProfile, get_profile
from services.protocols.turn import Message, ToolCall

MAX_BATCH_SIZE = 1000
_MAX_DOCUMENT_CHARACTERS = 1 << 20
_MAX_ANSWER_CHARACTERS = 2 << 20
_MAX_ANSWERS = 100
_ENDS = {"": AnswerEnd.STOP, "stop": AnswerEnd.STOP, "length": AnswerEnd.LENGTH}


@dataclass(frozen=True)
class AnswerToJudge:
    """One answer, or the answers of several turns, as texts or as messages; `finish_reason` is that of the last one.

    `tools` are the functions that were offered, as JSON texts, where there is no case.
    """

    profile_id: str
    case_document: str
    answer: str
    finish_reason: str = ""
    further_answers: tuple[str, ...] = ()
    key: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[str, ...] = ()


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
        return await asyncio.to_thread(lambda: [_result(request) for request in asked])

    async def judge_stream(self, asked: AsyncIterator[AnswerToJudge]) -> AsyncGenerator[JudgedAnswer]:
        """Yield a result for each answer in their order; the next one is read when a result was taken."""
        async for request in asked:
            yield await asyncio.to_thread(_result, request)


def _result(asked: AnswerToJudge) -> JudgedAnswer:
    try:
        return JudgedAnswer(asked.key, _judge(asked))
    except InvalidArgument as error:
        return JudgedAnswer(asked.key, problem=str(error))


def _judge(asked: AnswerToJudge) -> Verdict:
    profile = _profile(asked.profile_id)
    case = _case(asked.case_document, profile) if asked.case_document else None
    last = _ENDS.get(asked.finish_reason)
    if last is None:
        raise InvalidArgument(
            f"There is no finish reason {asked.finish_reason[:50]!r}.", "Use stop or length.", field="finish_reason"
        )
    answers = _answers(asked)
    _check_answers(case.max_turns if case else 1, answers, "messages" if asked.messages else "further_answers")
    answers = (*answers[:-1], replace(answers[-1], end=last))
    if case is None:
        return _judge_form(profile, asked.tools, answers[-1])
    return Judge(profile, profile.prompt_sizes[0]).judge(case, Transcript(0, "", case.case_id, 0, answers))


def _judge_form(profile: Profile, tools: Sequence[str], answer: GivenAnswer) -> Verdict:
    if sum(map(len, tools)) > _MAX_DOCUMENT_CHARACTERS:
        raise InvalidArgument(
            "The functions are too long.", f"Send at most {_MAX_DOCUMENT_CHARACTERS} characters.", field="tools"
        )
    try:
        return judge_form(profile, [json.loads(text) for text in tools], answer)
    except (CaseError, AttributeError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"Without a case, the form of the answer cannot be judged: {error}.",
            "Send a case, or function definitions in OpenAI's form.",
            field="tools",
        ) from error


def _answers(asked: AnswerToJudge) -> tuple[GivenAnswer, ...]:
    if not asked.messages:
        return tuple(map(GivenAnswer, (asked.answer, *asked.further_answers)))
    if asked.answer or asked.further_answers:
        raise InvalidArgument(
            "The request has its answers both as texts and as messages.", "Send one of them.", field="messages"
        )
    for place, message in enumerate(asked.messages):
        if message["role"] != "assistant":
            raise InvalidArgument(
                f"The message {place} has the role {message['role'][:30]!r}.",
                "Send the model's answers alone, of the role assistant: the client's replies are simulated.",
                field=f"messages[{place}].role",
            )
    return tuple(GivenAnswer(message["content"], calls=_calls(message)) for message in asked.messages)


def _calls(message: Message) -> tuple[ToolCall, ...]:
    calls = message.get("tool_calls", ())
    return tuple(ToolCall(call["function"]["name"], call["function"]["arguments"], call["id"]) for call in calls)


def _check_answers(num_turns: int, answers: Sequence[GivenAnswer], field: str) -> None:
    num_characters = sum(len(answer.text) + sum(len(call.arguments) for call in answer.calls) for answer in answers)
    if num_characters > _MAX_ANSWER_CHARACTERS:
        raise InvalidArgument(
            "The answer is too long.", f"Send at most {_MAX_ANSWER_CHARACTERS} characters.", field="answer"
        )
    most = min(num_turns, _MAX_ANSWERS)
    if len(answers) > most:
        raise InvalidArgument(
            f"There are {len(answers)} answers, and the case lets the model give {most}.",
            "Send no more answers than the case has turns.",
            field=field,
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
