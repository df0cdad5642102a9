"""Runs and transcripts as rows, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.test_runner.domain import (
    AnswerTurn,
    Environment,
    FinishReason,
    Message,
    RunInputs,
    RunRecord,
    ToolCall,
    Transcript,
)

_NUMBERS = (
    "message_index",
    "num_prompt_tokens",
    "num_cached_tokens",
    "num_generated_tokens",
    "queue_seconds",
    "prefill_seconds",
    "decode_seconds",
    "detail",
)


def run_row(record: RunRecord) -> dict[str, Any]:
    """Return the row of a run."""
    return {
        "test_run_id": record.test_run_id,
        "inputs": record.inputs.to_document(),
        "environment": record.environment.to_document(),
        "num_transcripts": record.num_transcripts,
        "num_generated_tokens": record.num_generated_tokens,
    }


def to_run(row: Mapping[Any, Any]) -> RunRecord:
    """Return the run of a row."""
    return RunRecord(
        test_run_id=row["test_run_id"],
        inputs=RunInputs.from_document(row["inputs"]),
        environment=Environment(**row["environment"]),
        num_transcripts=row["num_transcripts"],
        num_generated_tokens=row["num_generated_tokens"],
    )


def transcript_row(item: Transcript) -> dict[str, Any]:
    """Return the row of a transcript."""
    return {
        "test_run_id": item.test_run_id,
        "sequence": item.sequence,
        "transcript_id": item.transcript_id,
        "case_id": item.case_id,
        "repeat": item.repeat,
        "messages": [_message_entry(message) for message in item.messages],
        "token_ids": " ".join(map(str, item.token_ids)),
        "finish_reason": item.finish_reason.value,
        "num_prompt_tokens": item.num_prompt_tokens,
        "num_cached_tokens": item.num_cached_tokens,
        "prefill_seconds": item.prefill_seconds,
        "decode_seconds": item.decode_seconds,
        "turns": [_turn_entry(turn) for turn in item.turns],
        "stop": item.stop,
    }


def to_transcript(row: Mapping[Any, Any]) -> Transcript:
    """Return the transcript of a row."""
    token_ids = tuple(map(int, row["token_ids"].split()))
    return Transcript(
        test_run_id=row["test_run_id"],
        sequence=row["sequence"],
        case_id=row["case_id"],
        repeat=row["repeat"],
        messages=tuple(_to_message(entry) for entry in row["messages"]),
        token_ids=token_ids,
        finish_reason=FinishReason(row["finish_reason"]),
        num_prompt_tokens=row["num_prompt_tokens"],
        num_cached_tokens=row["num_cached_tokens"],
        prefill_seconds=row["prefill_seconds"],
        decode_seconds=row["decode_seconds"],
        turns=tuple(_to_turns(row["turns"], token_ids)),
        stop=row["stop"],
    )


def _message_entry(message: Message) -> list[Any]:
    if not message.tool_calls and not message.tool_call_id:
        return [message.role, message.content]
    calls = [[call.tool_call_id, call.name, call.arguments] for call in message.tool_calls]
    return [message.role, message.content, calls, message.tool_call_id]


def _to_message(entry: Sequence[Any]) -> Message:
    role, content, *rest = entry
    if not rest:
        return Message(role, content)
    return Message(role, content, tuple(ToolCall(*call) for call in rest[0]), rest[1])


def _turn_entry(turn: AnswerTurn) -> dict[str, Any]:
    # The ids themselves are in the column of the transcript's token ids.
    kept = {name: getattr(turn, name) for name in _NUMBERS if getattr(turn, name)}
    if turn.log_probs:
        kept["log_probs"] = turn.log_probs
    return {**kept, "finish_reason": turn.finish_reason.value, "num_ids": len(turn.token_ids)}


def _to_turns(entries: Sequence[Mapping[str, Any]], token_ids: tuple[int, ...]) -> Iterable[AnswerTurn]:
    place = 0
    for entry in entries:
        end = place + entry["num_ids"]
        yield AnswerTurn(
            **{
                "message_index": 0,
                **{name: value for name, value in entry.items() if name != "num_ids"},
                "finish_reason": FinishReason(entry["finish_reason"]),
                "token_ids": token_ids[place:end],
                "log_probs": tuple(entry.get("log_probs", ())),
            }
        )
        place = end
