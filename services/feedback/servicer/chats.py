"""The RPCs of answers of chats and of recorded sessions."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Any

from drillyard.feedback.v1 import chat_session_pb2 as pb

from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import timestamp, to_message
from services.feedback.convert.items import chat_from_proto, chat_to_proto, session_suite_spec_from_proto
from services.feedback.domain.item_spec import ChatSession
from services.feedback.usecases.chats import ChatUseCases
from services.feedback.usecases.sessions import SessionSuiteUseCases

_sessions = ResourceRpcs[ChatSession](attrgetter("chats"), partial(to_message, message_type=pb.ChatSession))


class ChatRpcs:
    """Keeps answers, and lists, keeps and forgets sessions."""

    chats: ChatUseCases
    session_suites: SessionSuiteUseCases
    KeepChatSession = _sessions.get(pb.KeepChatSessionResponse, "keep")
    ForgetChatSession = _sessions.delete(pb.ForgetChatSessionResponse, "forget")

    async def StoreChatAnswer(self, request: pb.StoreChatAnswerRequest, context: Any) -> pb.StoreChatAnswerResponse:
        """Keep an answer of a chat for a month."""
        await self.chats.keep_chat(request.chat_completion_id, chat_from_proto(request.chat))
        return pb.StoreChatAnswerResponse()

    async def ListChatSessions(self, request: pb.ListChatSessionsRequest, context: Any) -> pb.ListChatSessionsResponse:
        """List recorded sessions by name."""
        sessions, token = await self.chats.sessions(request.page_size, request.page_token)
        return pb.ListChatSessionsResponse(
            chat_sessions=[to_message(session, pb.ChatSession) for session in sessions], next_page_token=token
        )

    async def ListRecordedAnswers(
        self, request: pb.ListRecordedAnswersRequest, context: Any
    ) -> pb.ListRecordedAnswersResponse:
        """List the answers of a session."""
        answers, token = await self.chats.answers(request.session_id, request.page_size, request.page_token)
        recorded = [
            pb.RecordedAnswer(
                chat_completion_id=answer.chat_completion_id,
                create_time=timestamp(answer.create_time),
                chat=chat_to_proto(answer.chat),
            )
            for answer in answers
        ]
        return pb.ListRecordedAnswersResponse(recorded_answers=recorded, next_page_token=token)

    async def CreateSessionSuite(
        self, request: pb.CreateSessionSuiteRequest, context: Any
    ) -> pb.CreateSessionSuiteResponse:
        """Make suites of chosen answers of a session."""
        made = await self.session_suites.create(request.session_id, session_suite_spec_from_proto(request.spec))
        return to_message(made, pb.CreateSessionSuiteResponse)
