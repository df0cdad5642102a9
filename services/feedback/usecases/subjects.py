"""What an item is about, and what is proposed in the answer's place, looked up and judged when the item is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.feedback.domain.item import AnsweredCase, AnswersToJudge, ChatMessage, Content, Outcome, Subject
from services.feedback.domain.item_spec import Chat, ItemSpec, Preference
from services.feedback.ports.neighbours import CaseDocuments, Judge, Transcripts
from services.feedback.ports.stores import ChatStore

NOT_JUDGED = "not_judged"
"""Cause of a proposed answer that the judge cannot read."""


@dataclass(frozen=True)
class JudgedAnswer:
    """What an item is about, its long part with the verdicts, and the case as JSON text; empty for a chat."""

    subject: Subject
    content: Content
    case_document: str = ""


class Subjects:
    """Looks up what an item names, and has it judged."""

    def __init__(self, chats: ChatStore, transcripts: Transcripts, cases: CaseDocuments, judge: Judge) -> None:
        self._chats = chats
        self._transcripts = transcripts
        self._cases = cases
        self._judge = judge

    async def look_up(self, spec: ItemSpec) -> JudgedAnswer:
        """Return what an item is about, with the judge's verdicts where there is a case.

        Raises:
            NotFound: There is no such transcript or chat.
            InvalidArgument: The transcript answers another case or has no such turn, or the answers of a preference are
                not two to one prompt.
        """
        if not spec.transcript_id:
            return self._of_chat(spec, spec.chat or await self._chat(spec.chat_completion_id))
        answered = await self._transcripts.answered_case(spec.transcript_id)
        _check_names(spec, answered)
        answered = replace(answered, subject=replace(answered.subject, turn=spec.turn))
        content = await self._content(spec, answered)
        subject = answered.subject
        document = await self._cases.case_document(subject.test_suite_version_id, subject.case_id)
        case = json.loads(document)
        subject = replace(subject, tool=str(case.get("tool", "")), category=str(case.get("category", "")))
        answers = AnswersToJudge(subject.profile_id, document, answered.answers, answered.is_cut)
        return JudgedAnswer(subject, (await self.judged([(answers, content)]))[0], document)

    async def judged(self, contents: Sequence[tuple[AnswersToJudge, Content]]) -> list[Content]:
        """Return contents with the verdicts on the transcripts' answers beside them, and on what is proposed."""
        orders = [_orders(answers, content) for answers, content in contents]
        outcomes = iter(await self._judge.judge([order for of_one in orders for order in of_one]))
        return [
            _with_outcomes(content, [next(outcomes) for _ in of_one])
            for of_one, (_, content) in zip(orders, contents, strict=True)
        ]

    async def _content(self, spec: ItemSpec, answered: AnsweredCase) -> Content:
        messages = answered.answers[: spec.turn + 1]
        content = Content(messages, correction=_answers(spec.correction), note=spec.note)
        if spec.preference is None:
            return content
        chosen, rejected = await self._pair(spec.preference, answered, messages[-1])
        return replace(content, chosen=chosen, rejected=rejected)

    async def _pair(
        self, preference: Preference, answered: AnsweredCase, own: ChatMessage
    ) -> tuple[ChatMessage, ChatMessage]:
        if not preference.over_transcript_id:
            return _pair_of(preference, own)
        other, turn = await self._transcripts.answered_case(preference.over_transcript_id), answered.subject.turn
        is_same_case = (other.subject.test_suite_version_id, other.subject.case_id) == (
            answered.subject.test_suite_version_id,
            answered.subject.case_id,
        )
        if not is_same_case or other.answers[:turn] != answered.answers[:turn] or len(other.answers) <= turn:
            raise InvalidArgument(
                f"The transcript {preference.over_transcript_id} does not answer the same prompt.",
                "Prefer between two transcripts of one case of one suite version.",
                field="spec.preference.over_transcript_id",
            )
        return _pair_of(replace(preference, rejected=other.answers[turn]), own)

    async def _chat(self, chat_completion_id: str) -> Chat:
        chat = await self._chats.get_chat(chat_completion_id)
        if chat is None:
            raise NotFound(
                f"There is no stored answer {chat_completion_id[:100]!r}.",
                'Ask for answers with "store": true; they are kept for a month.',
                field="spec.chat_completion_id",
            )
        if not chat.is_kept:
            raise FailedPrecondition(
                f"The answer {chat_completion_id} is of the session {chat.session_id}, which nobody has kept yet.",
                f"Look through it, then `drillyard sessions keep {chat.session_id}`.",
                field="spec.chat_completion_id",
            )
        return chat

    def _of_chat(self, spec: ItemSpec, chat: Chat) -> JudgedAnswer:
        if len(spec.correction) > 1:
            raise InvalidArgument(
                "The correction of a chat has several answers.", "Send the right answer alone.", field="spec.correction"
            )
        chosen, rejected = _pair_of(spec.preference, chat.messages[-1]) if spec.preference else (None, None)
        subject = Subject(chat_completion_id=spec.chat_completion_id, model_version_id=chat.model_version_id)
        content = Content(
            messages=chat.messages,
            tools=chat.tools,
            correction=_answers(spec.correction),
            chosen=chosen,
            rejected=rejected,
            metadata=chat.metadata,
            note=spec.note,
        )
        return JudgedAnswer(subject, content)


def _orders(answers: AnswersToJudge, content: Content) -> list[AnswersToJudge]:
    proposed = content.correction or ((content.chosen,) if content.chosen else ())
    changed = replace(answers, answers=(*content.messages[:-1], *proposed), is_cut=False)
    return [answers, changed] if proposed else [answers]


def _with_outcomes(content: Content, outcomes: Sequence[Outcome | str]) -> Content:
    verdict, *others = outcomes
    proposal = others[0] if others else None
    if isinstance(proposal, str):
        # What the judge cannot read is kept, as all that does not conform is.
        proposal = Outcome(conforming=False, cause=NOT_JUDGED, sentence=proposal)
    return replace(content, verdict=verdict if isinstance(verdict, Outcome) else None, proposal_verdict=proposal)


def _check_names(spec: ItemSpec, answered: AnsweredCase) -> None:
    case_id, num_answers = answered.subject.case_id, len(answered.answers)
    if spec.case_id and spec.case_id != case_id:
        raise InvalidArgument(
            f"The transcript {spec.transcript_id} answers the case {case_id}, not {spec.case_id}.",
            "Name the transcript that answers the case you mean.",
            field="spec.case_id",
        )
    if spec.turn >= num_answers:
        raise InvalidArgument(
            f"The transcript {spec.transcript_id} has no answer {spec.turn}.",
            f"It has {num_answers}, counted from 0." if num_answers else "It has none, since the machine failed on it.",
            field="spec.turn",
        )


def _answers(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    return tuple({**message, "role": "assistant"} for message in messages)


def _pair_of(preference: Preference, own: ChatMessage) -> tuple[ChatMessage, ChatMessage]:
    chosen, rejected = preference.chosen or own, preference.rejected or own
    if chosen == rejected:
        raise InvalidArgument(
            "The two answers of the preference are the same.",
            "Send the better or the worse answer, or name another transcript.",
            field="spec.preference",
        )
    return _answers((chosen,))[0], _answers((rejected,))[0]
