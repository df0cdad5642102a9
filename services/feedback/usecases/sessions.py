"""Private suites of what real clients asked: answers of a kept session become cases, with a person's right answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.chassis.machine.caller import current_caller
from services.feedback.datasets.session_cases import case_of_chat, profile_of_chat
from services.feedback.domain.item import ChatMessage, FeedbackKind, ItemFilter, digest_of
from services.feedback.domain.item_spec import Chat, ItemSpec, SessionSuiteSpec, masked_message
from services.feedback.domain.work import Registration
from services.feedback.ports.neighbours import Registry
from services.feedback.ports.stores import ChatStore
from services.feedback.usecases.items import ItemUseCases
from services.protocols.cases import Case, CaseError, Scoring
from services.protocols.suites.suite import suite_text

_JSONL = "application/jsonl"
_BATCH = 20


@dataclass(frozen=True)
class SessionSuites:
    """What was made of a session: a suite version for each protocol, and the corrections that were stored."""

    test_suite_version_ids: tuple[str, ...]
    feedback_item_ids: tuple[str, ...]
    num_cases: int


class SessionSuiteUseCases:
    """Makes suites of recorded sessions."""

    def __init__(self, chats: ChatStore, items: ItemUseCases, artifacts: ArtifactStore, registry: Registry) -> None:
        self._chats = chats
        self._items = items
        self._artifacts = artifacts
        self._registry = registry

    async def create(self, session_id: str, spec: SessionSuiteSpec) -> SessionSuites:
        """Register the suites of chosen answers; the same answers give the same versions.

        Raises:
            NotFound: There is no such session, or no such answer in it.
            FailedPrecondition: Nobody has kept the session, or nothing says what the right answer is.
            InvalidArgument: An answer cannot become a case; the error says which and why.
        """
        await self._check_kept(session_id)
        sent = {turn.chat_completion_id: masked_message(turn.right_answer) for turn in spec.turns if turn.right_answer}
        chosen = [turn.chat_completion_id for turn in spec.turns] or await self._answer_ids(session_id)
        corrections = await self._corrections(set(chosen))
        chats = {each: await self._chats.get_chat(each) for each in chosen if spec.turns or each in corrections}
        own = {answer_id: chat for answer_id, chat in chats.items() if chat and chat.session_id == session_id}
        if missing := next((turn.chat_completion_id for turn in spec.turns if turn.chat_completion_id not in own), ""):
            raise NotFound(
                f"The session {session_id} has no answer {missing[:100]!a}.",
                f"See its answers: `drillyard sessions show {session_id}`.",
                field="spec.turns",
            )
        if not own:
            raise FailedPrecondition(
                f"No answer of the session {session_id} has a correction.",
                "Say what is right: choose answers and send right answers, or "
                "`drillyard feedback add chatcmpl-… --correction @right.txt`.",
                field="spec.turns",
            )
        right_answers = {**corrections, **sent}
        cases = {answer_id: _case(answer_id, chat, right_answers, spec) for answer_id, chat in own.items()}
        item_ids = [await self._corrected(session_id, answer_id, answer, spec) for answer_id, answer in sent.items()]
        versions, num_cases = await self._register(session_id, spec, own, cases)
        return SessionSuites(tuple(versions), tuple(item_ids), num_cases)

    async def _check_kept(self, session_id: str) -> None:
        session = await self._chats.get_session(session_id)
        if session is None:
            raise NotFound(f"There is no session {session_id[:80]!a}.", "List the sessions to see their names.")
        if not session.is_kept:
            raise FailedPrecondition(
                f"Nobody has kept the session {session_id} yet, so nothing is made of it.",
                f"Look through it, then `drillyard sessions keep {session_id}`.",
            )

    async def _answer_ids(self, session_id: str) -> list[str]:
        ids: list[str] = []
        after: tuple[datetime, str] | None = None
        while answers := await self._chats.list_answers(session_id, after, _BATCH):
            ids += [each.chat_completion_id for each in answers]
            after = (answers[-1].create_time, answers[-1].chat_completion_id)
        return sorted(ids)

    async def _corrections(self, answer_ids: Collection[str]) -> dict[str, ChatMessage]:
        """Return the newest correction of each of the answers that has one, masked as what was recorded is."""
        wanted = ItemFilter(kind=FeedbackKind.CORRECTION, is_chat=True)
        return {
            item.subject.chat_completion_id: masked_message(item.content.correction[0])
            async for item in self._items.export_items(wanted)
            if item.subject.chat_completion_id in answer_ids
        }

    async def _corrected(self, session_id: str, answer_id: str, answer: ChatMessage, spec: SessionSuiteSpec) -> str:
        author = current_caller.get() or spec.author
        item = ItemSpec(
            transcript_id="",
            turn=0,
            case_id="",
            chat_completion_id=answer_id,
            chat=None,
            rating=None,
            correction=({**answer, "role": "assistant"},),
            preference=None,
            tag="",
            note="",
            author=author,
        )
        request_id = f"session/{digest_of([session_id, answer_id, dict(answer), author])}"
        return (await self._items.create(request_id, item)).feedback_item_id

    async def _register(
        self, session_id: str, spec: SessionSuiteSpec, chats: Mapping[str, Chat], cases: Mapping[str, Case]
    ) -> tuple[Sequence[str], int]:
        versions, num_cases = [], 0
        for profile_id in sorted({profile_of_chat(chat) for chat in chats.values()}):
            suite_id = f"{profile_id}/{spec.suite_name}"
            own = await self._cases_of(suite_id) if spec.keeps_cases else {}
            own |= {key: cases[key] for key, chat in chats.items() if profile_of_chat(chat) == profile_id}
            text = suite_text(own.values())
            num_cases += len(own)
            artifact = await self._artifacts.put_bytes(text.encode(), _JSONL)
            registration = Registration(suite_id, artifact, f"session:{session_id}")
            request_id = f"session/{digest_of([session_id, suite_id, text])}"
            versions.append(await self._registry.register_suite(request_id, registration))
        return versions, num_cases

    async def _cases_of(self, suite_id: str) -> dict[str, Case]:
        """Return the cases of the newest version of a suite, none where there is no such suite."""
        try:
            version = await self._registry.resolve_suite(suite_id)
        except NotFound:
            return {}
        return {case.case_id: case for case in await self._registry.list_cases(version.test_suite_version_id)}


def _case(answer_id: str, chat: Chat, right_answers: Mapping[str, ChatMessage], spec: SessionSuiteSpec) -> Case:
    right_answer = right_answers.get(answer_id)
    if right_answer is None:
        raise FailedPrecondition(
            f"Nothing says what the right answer is in place of {answer_id}.",
            "Send its right answer, or correct it first.",
            field="spec.turns",
        )
    try:
        return case_of_chat(answer_id, chat, right_answer, Scoring(spec.scorer, (), spec.threshold))
    except CaseError as error:
        raise InvalidArgument(
            f"The answer {answer_id} cannot become a case: {error}.",
            "Leave it out, or send another right answer.",
            field="spec.turns",
        ) from error
