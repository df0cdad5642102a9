"""Messages and transcripts, from the wire."""

from drillyard.test_runner.v1 import transcript_pb2

from services.chassis.errors import FailedPrecondition
from services.evaluator.domain.verdict import Spent
from services.evaluator.ports import AnswerEnd, GivenAnswer, Transcript
from services.protocols.turn import Message, ToolCall

_ENDS = {
    transcript_pb2.FINISH_REASON_STOP: AnswerEnd.STOP,
    transcript_pb2.FINISH_REASON_LENGTH: AnswerEnd.LENGTH,
    transcript_pb2.FINISH_REASON_CONTEXT_OVERFLOW: AnswerEnd.CONTEXT_OVERFLOW,
    transcript_pb2.FINISH_REASON_BACKEND_FAULT: AnswerEnd.BACKEND_FAULT,
    transcript_pb2.FINISH_REASON_TEMPLATE_FAULT: AnswerEnd.TEMPLATE_FAULT,
}
_MADE = (AnswerEnd.STOP, AnswerEnd.LENGTH)


def to_transcript(message: transcript_pb2.Transcript) -> Transcript:
    """Return a transcript; one that names no turns has one answer, its last message.

    Raises:
        FailedPrecondition: It names an answer that it does not hold, or an end that this release does not know.
    """
    if message.turns:
        answers = tuple(_answer(message, turn) for turn in message.turns)
    else:
        last = len(message.messages) - 1
        turn = transcript_pb2.AnswerTurn(
            message_index=last, finish_reason=message.finish_reason, num_prompt_tokens=message.num_prompt_tokens
        )
        answers = (_answer(message, turn),)
    return Transcript(
        sequence=message.sequence,
        transcript_id=message.transcript_id,
        case_id=message.case_id,
        repeat=message.repeat,
        answers=answers,
        spent=_spent(message),
        messages=tuple(map(message_from_proto, message.messages)),
    )


def _answer(message: transcript_pb2.Transcript, turn: transcript_pb2.AnswerTurn) -> GivenAnswer:
    end = _ENDS.get(turn.finish_reason)
    if end is None:
        raise _unreadable(message, f"an answer ended for the unknown reason {turn.finish_reason}")
    if end not in _MADE:
        return GivenAnswer("", end, (), turn.num_prompt_tokens, turn.detail)
    if not 0 <= turn.message_index < len(message.messages):
        raise _unreadable(message, f"it has no message {turn.message_index}")
    said = message.messages[turn.message_index]
    calls = tuple(ToolCall(call.name, call.arguments, call.tool_call_id) for call in said.tool_calls)
    return GivenAnswer(said.content, end, calls, turn.num_prompt_tokens, turn.detail)


def _spent(message: transcript_pb2.Transcript) -> Spent:
    turns = message.turns
    generated = sum(turn.num_generated_tokens or len(turn.token_ids) for turn in turns)
    return Spent(
        num_prompt_tokens=sum(turn.num_prompt_tokens for turn in turns) if turns else message.num_prompt_tokens,
        num_cached_tokens=sum(turn.num_cached_tokens for turn in turns) if turns else message.num_cached_tokens,
        num_generated_tokens=generated or len(message.token_ids),
        latency_seconds=message.prefill_seconds + message.decode_seconds,
        decode_seconds=message.decode_seconds,
    )


def message_from_proto(message: transcript_pb2.Message) -> Message:
    """Return the message in OpenAI's form."""
    chat: Message = {"role": message.role, "content": message.content}
    if message.tool_calls:
        chat["tool_calls"] = [
            {"id": call.tool_call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        chat["tool_call_id"] = message.tool_call_id
    return chat


def _unreadable(message: transcript_pb2.Transcript, reason: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The transcript {message.transcript_id} cannot be read: {reason}.",
        "Run the same release of Drillyard in all services.",
    )
