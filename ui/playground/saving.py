"""A box that keeps a conversation, with the answer that is right, as a case of a suite of one's own."""

import hashlib
import json
from typing import Any

import gradio as gr
from drillyard.feedback.v1.chat_session_pb2 import (
    ChatAnswer,
    CreateSessionSuiteRequest,
    KeepChatSessionRequest,
    SessionSuiteSpec,
    SessionTurn,
    StoreChatAnswerRequest,
)
from drillyard.test_runner.v1.transcript_pb2 import Message

from services.chassis.errors import InvalidArgument, ServiceError
from ui.evaluations.feedback.answers import messages_of
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, notice
from ui.shared.documents import Document, message_of
from ui.shared.fields import FieldForm, Values

# No client is likely to be recorded under it.
SESSION = "drillyard.playground"
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def written(subject: Document) -> str:
    """Return the answer that a conversation ends with as a person writes it: its text, or with calls OpenAI's JSON."""
    if not subject:
        return ""
    last = subject["chat"]["messages"][-1]
    if not last["tool_calls"]:
        return str(last["content"])
    calls = [
        {
            "id": call["tool_call_id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in last["tool_calls"]
    ]
    return json.dumps({"role": "assistant", "content": last["content"], "tool_calls": calls}, indent=1)


class CaseBox:
    """The name of a suite, the right answer, and a button.

    Args:
        cache: Of all pages.
        subject: State with the conversation, as the beginning of a feedback item.
        author: Whose the right answer is.
    """

    def __init__(self, cache: ServiceCache, subject: gr.State, author: gr.Textbox) -> None:
        self._cache, self._subject, self._author = cache, subject, author
        self._fields = FieldForm("save", SessionSuiteSpec)
        with (
            gr.Column(visible=False, elem_classes="dy-form") as self.column,
            gr.Accordion("Save as a case", open=False, elem_id="playground-save"),
        ):
            self._fields.add("suite_name")
            self.right = gr.Textbox(
                label="The right answer",
                info="What the model wrote, to be corrected; calls stand as a message of OpenAI's JSON.",
                lines=4,
                max_length=200_000,
                elem_id="save-right",
            )
            self._fields.add("scorer", "threshold")
            save = gr.Button("Save as a case", elem_id="playground-save-case")
        self.message = parts.area("save-message")
        inputs = {subject, author, self.right, *self._fields.components.values()}
        save.click(self.save, inputs, [self.message], **_QUIET)

    async def save(self, values: Values) -> str:
        """Keep the conversation in a session of its own, masked, and make a case of it: cases of before stay."""
        try:
            chat = message_of(ChatAnswer, {**values[self._subject].get("chat", {}), "session_id": SESSION})
            digest = hashlib.sha256(chat.SerializeToString(deterministic=True)).hexdigest()
            answer_id = f"playground-{digest[:24]}"
            right = message_of(Message, messages_of(values[self.right] or "")[0])
            turn = SessionTurn(chat_completion_id=answer_id, right_answer=right)
            spec = SessionSuiteSpec(turns=[turn], author=values[self._author] or "", keeps_cases=True)
            self._fields.fill(spec, values, "spec.")
            if not spec.suite_name:
                raise InvalidArgument("The suite has no name.", "Name a new one, or one of yours.", field="suite_name")
            feedback = self._cache.clients.feedback
            await feedback.StoreChatAnswer(StoreChatAnswerRequest(chat_completion_id=answer_id, chat=chat))
            await feedback.KeepChatSession(KeepChatSessionRequest(session_id=SESSION))
            made = await feedback.CreateSessionSuite(CreateSessionSuiteRequest(session_id=SESSION, spec=spec))
        except ServiceError as error:
            return notice(error, "save")
        self._cache.forget()
        name = " and ".join(made.test_suite_version_ids)
        sentence = f"It is a case of {name}, among {made.num_cases} in all."
        return done_notice(sentence, "Secrets and home folders are masked in it.")
