"""Messages and transcripts, from and to the wire."""

from drillyard.test_runner.v1 import transcript_pb2

from services.test_runner.domain import AnswerTurn, FinishReason, Message, ToolCall, Transcript


def message_to_proto(message: Message) -> transcript_pb2.Message:
    """Return the message."""
    return transcript_pb2.Message(
        role=message.role,
        content=message.content,
        tool_calls=map(call_to_proto, message.tool_calls),
        tool_call_id=message.tool_call_id,
    )


def call_to_proto(call: ToolCall) -> transcript_pb2.ToolCall:
    """Return the call."""
    return transcript_pb2.ToolCall(tool_call_id=call.tool_call_id, name=call.name, arguments=call.arguments)


def finish_reason_to_proto(reason: FinishReason) -> transcript_pb2.FinishReason.ValueType:
    """Return the reason."""
    return transcript_pb2.FinishReason.Value(f"FINISH_REASON_{reason.name}")


def transcript_to_proto(item: Transcript) -> transcript_pb2.Transcript:
    """Return the transcript."""
    return transcript_pb2.Transcript(
        transcript_id=item.transcript_id,
        test_run_id=item.test_run_id,
        case_id=item.case_id,
        repeat=item.repeat,
        messages=map(message_to_proto, item.messages),
        token_ids=item.token_ids,
        finish_reason=finish_reason_to_proto(item.finish_reason),
        num_prompt_tokens=item.num_prompt_tokens,
        num_cached_tokens=item.num_cached_tokens,
        prefill_seconds=item.prefill_seconds,
        decode_seconds=item.decode_seconds,
        sequence=item.sequence,
        turns=map(_turn, item.turns),
        stop=item.stop,
    )


def _turn(turn: AnswerTurn) -> transcript_pb2.AnswerTurn:
    return transcript_pb2.AnswerTurn(
        message_index=turn.message_index,
        token_ids=turn.token_ids,
        log_probs=turn.log_probs,
        finish_reason=finish_reason_to_proto(turn.finish_reason),
        num_prompt_tokens=turn.num_prompt_tokens,
        num_cached_tokens=turn.num_cached_tokens,
        num_generated_tokens=turn.num_generated_tokens,
        queue_seconds=turn.queue_seconds,
        prefill_seconds=turn.prefill_seconds,
        decode_seconds=turn.decode_seconds,
        detail=turn.detail,
    )
