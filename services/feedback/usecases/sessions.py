"""Private suites of what real clients asked: answers of a kept session become cases, with a person's right answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
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
_MAX_MERGES = 8


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
            own = {key: cases[key] for key, chat in chats.items() if profile_of_chat(chat) == profile_id}
            if spec.keeps_cases:
                version, own = await self._register_beside(session_id, suite_id, own)
            else:
                version = await self._register_cases(session_id, suite_id, own)
            versions.append(version)
            num_cases += len(own)
        return versions, num_cases

    async def _register_beside(
        self, session_id: str, suite_id: str, own: Mapping[str, Case]
    ) -> tuple[str, dict[str, Case]]:
        """Register cases beside those of the newest version; return the version and all its cases.

        Raises:
            Aborted: Others made versions at the same time, again and again.
        """
        newest = await self._newest(suite_id)
        before = await self._cases_of(newest) if newest else {}
        cases = {**before, **own}
        if newest and suite_text(cases.values()) == suite_text(before.values()):
            return newest, cases
        for _ in range(_MAX_MERGES):
            version = await self._register_cases(session_id, suite_id, cases, newest)
            # Whoever made a version between the two did not know of these cases, nor these of theirs.
            theirs: dict[str, Case] = {}
            for number in range(_number(newest) + 1, _number(version)):
                made = await self._cases_of(f"{suite_id}@{number}")
                theirs |= {key: case for key, case in made.items() if before.get(key) != case}
            merged = {**cases, **theirs, **own}
            if merged == cases:
                return version, cases
            newest, cases = version, merged
        raise Aborted(f"Others change the suite {suite_id} at the same time.", "Save it again in a while.")

    async def _register_cases(
        self, session_id: str, suite_id: str, cases: Mapping[str, Case], merged_id: str = ""
    ) -> str:
        """Register a version; `merged_id` is the version whose cases it keeps, for the same text may come back."""
        text = suite_text(cases.values())
        artifact = await self._artifacts.put_bytes(text.encode(), _JSONL)
        merged = [merged_id] if merged_id else []
        request_id = f"session/{digest_of([session_id, suite_id, text, *merged])}"
        return await self._registry.register_suite(
            request_id, Registration(suite_id, artifact, f"session:{session_id}")
        )

    async def _newest(self, suite_id: str) -> str:
        try:
            return (await self._registry.resolve_suite(suite_id)).test_suite_version_id
        except NotFound:
            return ""

    async def _cases_of(self, version_id: str) -> dict[str, Case]:
        """Return the cases of a version, none of one that was deleted."""
        try:
            return {case.case_id: case for case in await self._registry.list_cases(version_id)}
        except NotFound:
            return {}


def _number(version_id: str) -> int:
    return int(version_id.rpartition("@")[2] or 0)


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
