"""What callers may ask of answers of chats, and of the sessions in which clients are recorded."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime

from services.chassis.errors import InvalidArgument, NotFound
from services.chassis.wire.paging import MAX_PAGE_BYTES, checked_page_size, page_of, place_of, wrong_token
from services.feedback.domain.item_spec import Chat, ChatSession, RecordedAnswer, check_chat
from services.feedback.ports.stores import ChatStore

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ChatUseCases:
    """Keeps answers, and lets a person look through recorded sessions, keep or forget them."""

    def __init__(self, store: ChatStore) -> None:
        self._store = store

    async def keep_chat(self, chat_completion_id: str, chat: Chat) -> None:
        """Keep an answer for a month; one of a session is masked first.

        Raises:
            InvalidArgument: It does not end with an answer, or no session can have that name.
        """
        check_chat(chat, "chat")
        if chat.session_id and not _NAME.fullmatch(chat.session_id):
            raise InvalidArgument(
                f"No session can have the name {chat.session_id[:80]!a}.",
                "Use up to 64 letters, digits, dots, dashes and underscores.",
                field="chat.session_id",
            )
        # A long conversation takes a second, for which others need not wait.
        masked = await asyncio.to_thread(chat.masked) if chat.session_id else chat
        await self._store.keep_chat(chat_completion_id, masked)

    async def sessions(self, page_size: int, page_token: str) -> tuple[list[ChatSession], str]:
        """Return a page of the sessions by name, and the token of the next one."""
        size = checked_page_size(page_size)
        sessions = await self._store.list_sessions(place_of(page_token, ""), size + 1)
        return page_of(sessions, size, lambda session: session.session_id)

    async def answers(self, session_id: str, page_size: int, page_token: str) -> tuple[list[RecordedAnswer], str]:
        """Return a page of the answers of a session in their order, and the token of the next one.

        Raises:
            NotFound: There is no such session.
        """
        await self._session(session_id)
        size = checked_page_size(page_size)
        time, answer_id = place_of(page_token, ("", ""))
        after = (_time_of(time), answer_id) if time else None
        # Conversations may be long; what does not fit on a page is not read.
        size = await self._store.num_fitting(session_id, after, size, MAX_PAGE_BYTES)
        answers = await self._store.list_answers(session_id, after, size + 1)
        return page_of(answers, size, lambda answer: (answer.create_time.isoformat(), answer.chat_completion_id))

    async def keep(self, session_id: str) -> ChatSession:
        """Keep a session, so that feedback can be on its answers.

        Raises:
            NotFound: There is no such session.
        """
        await self._session(session_id)
        await self._store.keep_session(session_id)
        return await self._session(session_id)

    async def forget(self, session_id: str) -> None:
        """Delete what is recorded of a session.

        Raises:
            NotFound: There is no such session.
        """
        await self._session(session_id)
        await self._store.forget_session(session_id)

    async def _session(self, session_id: str) -> ChatSession:
        session = await self._store.get_session(session_id)
        if session is None:
            raise NotFound(
                f"There is no session {session_id[:80]!a}.",
                "List the sessions to see their names; what nobody keeps is forgotten after a month.",
            )
        return session


def _time_of(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise wrong_token() from error
