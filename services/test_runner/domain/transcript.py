"""Transcripts: what a model was asked and what it answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CONTEXT_OVERFLOW = "context_overflow"
    BACKEND_FAULT = "backend_fault"
    TEMPLATE_FAULT = "template_fault"

    @property
    def is_fault(self) -> bool:
        """Whether there is no answer."""
        return self not in (FinishReason.STOP, FinishReason.LENGTH)


@dataclass(frozen=True)
class ToolCall:
    """One native function call of an answer; `arguments` as the model wrote them."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `tool_call_id` names the call that a message of the role `tool` answers."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @property
    def size_bytes(self) -> int:
        """Nearly its size on the wire."""
        return 4 * (len(self.content) + sum(len(call.arguments) + 50 for call in self.tool_calls)) + 50

    def to_chat(self) -> dict[str, Any]:
        """Return it in OpenAI's form."""
        chat: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            chat["tool_calls"] = [
                {
                    "id": call.tool_call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        if self.tool_call_id:
            chat["tool_call_id"] = self.tool_call_id
        return chat

    @classmethod
    def from_chat(cls, chat: Mapping[str, Any]) -> Message:
        """Return the message that is in OpenAI's form."""
        calls = tuple(
            ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in chat.get("tool_calls", ())
        )
        return cls(chat["role"], chat["content"], calls, chat.get("tool_call_id", ""))


@dataclass(frozen=True)
class AnswerTurn:
    """What is known of one answer of a transcript; `message_index` is its place in the messages.

    Seconds are its own share of the time; `detail` says why nothing was generated, or what is odd about how the answer
    came, such as a server's own word for its end.
    """

    message_index: int
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_generated_tokens: int = 0
    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class Transcript:
    """All that a model and its client said on one case; `sequence` is its place in the order of completion, from 1.

    Transcripts of early releases have no `turns`: their one answer is the last message. `stop` is why the client
    stopped, empty when a fault ended it.
    """

    test_run_id: str
    sequence: int
    case_id: str
    repeat: int
    messages: tuple[Message, ...]
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    turns: tuple[AnswerTurn, ...] = ()
    stop: str = ""

    @property
    def transcript_id(self) -> str:
        """Unique within the service, the same however often its window was run."""
        return f"{self.test_run_id}-{self.sequence}"

    @property
    def is_answered(self) -> bool:
        """Whether it is the model's: False when the machine failed on it, however good the answers before that were."""
        return self.finish_reason is not FinishReason.BACKEND_FAULT

    @property
    def num_generated_tokens(self) -> int:
        """Tokens of all answers."""
        return sum(turn.num_generated_tokens for turn in self.turns) if self.turns else len(self.token_ids)

    @property
    def size_bytes(self) -> int:
        """Nearly its size on the wire."""
        log_probs = sum(len(turn.log_probs) + 30 for turn in self.turns)
        return sum(message.size_bytes for message in self.messages) + 10 * len(self.token_ids) + 4 * log_probs + 200

    @property
    def answers(self) -> tuple[Message, ...]:
        """The messages that the model gave in this run."""
        if not self.turns:
            return self.messages[-1:]
        return tuple(self.messages[turn.message_index] for turn in self.turns)


def transcript_of(
    test_run_id: str,
    sequence: int,
    *,
    case: tuple[str, int],
    messages: Sequence[Message],
    turns: Sequence[AnswerTurn],
    stop: str,
) -> Transcript:
    """Return the transcript of these answers, at least one; `case` is the case's id and the repeat."""
    last = turns[-1]
    return Transcript(
        test_run_id=test_run_id,
        sequence=sequence,
        case_id=case[0],
        repeat=case[1],
        messages=tuple(messages),
        finish_reason=last.finish_reason,
        token_ids=tuple(token for turn in turns for token in turn.token_ids),
        num_prompt_tokens=last.num_prompt_tokens,
        num_cached_tokens=last.num_cached_tokens,
        prefill_seconds=sum(turn.prefill_seconds for turn in turns),
        decode_seconds=sum(turn.decode_seconds for turn in turns),
        turns=tuple(turns),
        stop=stop,
    )
