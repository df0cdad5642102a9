"""What each of two models was asked and has said before, so that a conversation goes on with both."""

from dataclasses import dataclass

import gradio as gr
from drillyard.feedback.v1.chat_session_pb2 import ChatAnswer
from drillyard.test_runner.v1.transcript_pb2 import Message

from services.chassis.errors import InvalidArgument
from ui.gateway.clients import Clients
from ui.playground.actions import CaseAtWork, Conversation, conversation_of
from ui.playground.form import CASE, MESSAGES, PlaygroundForm
from ui.shared import parts
from ui.shared.documents import Document, document
from ui.shared.fields import Values, text_of


@dataclass(frozen=True)
class SoFar:
    """What was said so far: of one's own messages both sides, of a case the answers alone.

    Attributes:
        about: what it belongs to: who writes the messages, and for a case its suite and name.
    """

    about: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()


class Side:
    """Builds the places of what one of two models is asked, what it says and the verdict; `so_far` is its talk.

    Args:
        name: Begins the ids of the places.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.so_far: gr.State = gr.State(SoFar())
        self.talk, self.answer, self.judgement = (parts.area(f"{name}{one}") for one in ("talk", "answer", "judgement"))
        self.areas = [self.talk, self.answer, self.judgement]


class Talks:
    """The conversations of a page: the first model's, and that of the one beside it."""

    def __init__(self, form: PlaygroundForm, first: Side, second: Side) -> None:
        self._form = form
        self.first, self.second = first, second

    async def asked(self, clients: Clients, values: Values, side: Side) -> tuple[CaseAtWork | None, Conversation]:
        """Return what a model is asked next, and of a case the answers so far.

        Raises:
            InvalidArgument: No case is chosen, or there is no message.
        """
        form, so_far = self._form, self._messages(values, side)
        if values[form.source] == CASE:
            if not values[form.suite] or not values[form.case]:
                raise InvalidArgument("No case is chosen.", "Choose a suite and one of its cases.", field="case")
            size = values[form.prompt_size]
            case = CaseAtWork(values[form.suite], values[form.case], size, so_far)
            return case, await conversation_of(clients, case)
        system = [Message(role="system", content=values[form.system])] if text_of(values, form.system) else []
        messages = [*system, *so_far, *_own(values[form.message] or "")]
        if not messages or messages[-1].role != "user":
            raise InvalidArgument("There is no message.", "Write one.", field="messages")
        return None, Conversation(tuple(messages))

    def said(self, values: Values, side: Side, answer: Message) -> SoFar:
        """Return what is said with another answer."""
        own = _own(values[self._form.message] or "") if values[self._form.source] == MESSAGES else []
        return SoFar(self._about(values, side), (*self._messages(values, side), *own, answer))

    def _about(self, values: Values, side: Side) -> tuple[str, ...]:
        form = self._form
        source = values[form.source] or ""
        case = (values[form.suite] or "", values[form.case] or "") if source == CASE else ()
        return (source, *case) if side is self.first else (source, *case, values[form.beside])

    def _messages(self, values: Values, side: Side) -> tuple[Message, ...]:
        so_far: SoFar = values[side.so_far]
        messages = so_far.messages if so_far.about == self._about(values, side) else ()
        if side is self.first or values[self._form.source] == CASE:
            return messages
        # Who was not there from the beginning, or missed an answer, goes on from the first one's.
        first = self._messages(values, self.first)
        return messages if len(messages) == len(first) else first

    async def answered(self, clients: Clients, values: Values) -> Document:
        """Return the beginning of an item on the last answer; nothing before there is one."""
        so_far = self._messages(values, self.first)
        if not so_far:
            return {}
        conversation = Conversation(so_far)
        if values[self._form.source] == CASE:
            _, conversation = await self.asked(clients, values, self.first)
        elif text_of(values, self._form.system):
            conversation = Conversation((Message(role="system", content=values[self._form.system]), *so_far))
        asked = self._form.subject(values)
        chat = ChatAnswer(
            model_version_id=asked.model_version_id or (asked.endpoint.model if asked.endpoint else ""),
            messages=conversation.messages[: last_answer(conversation) + 1],
            tools=conversation.tools,
        )
        return {"chat": document(chat)}


def _own(message: str) -> list[Message]:
    return [Message(role="user", content=message)] if message.strip() else []


def last_answer(conversation: Conversation) -> int:
    """Return the place of the last answer of a conversation, -1 where there is none."""
    return max(
        (place for place, message in enumerate(conversation.messages) if message.role == "assistant"), default=-1
    )
