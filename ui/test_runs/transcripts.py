"""Verdicts and transcripts as a person sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drillyard.evaluator.v1.verdict_pb2 import Layer, LayerStatus, Verdict
from drillyard.test_runner.v1.transcript_pb2 import AnswerTurn, Message, Transcript

from ui.shared.words import calls_text, enum_text


@dataclass(frozen=True)
class VerdictRow:
    """One verdict in a list."""

    transcript_id: str
    case_id: str
    tool: str
    category: str
    outcome: str
    cause: str
    sentence: str
    repeat: int = 0


@dataclass(frozen=True)
class VerdictPage:
    """Some verdicts of an evaluation; `next_token` is empty on the last page."""

    rows: tuple[VerdictRow, ...]
    total: int
    next_token: str


@dataclass(frozen=True)
class AnswerView:
    """One answer, cut in three around the span that failed; `replies` are what the client said before it."""

    replies: Sequence[Message]
    before: str
    failing: str
    after: str
    calls: tuple[str, ...]
    facts: str
    detail: str


@dataclass(frozen=True)
class TranscriptView:
    """One conversation with its verdict."""

    row: VerdictRow
    prompt: Sequence[Message]
    answers: tuple[AnswerView, ...]
    layers: Sequence[Layer]
    stop: str
    style_notes: tuple[str, ...] = ()


def verdict_row(verdict: Verdict) -> VerdictRow:
    """Return a verdict's line in a list; the outcome is the best that holds."""
    ladder = ((verdict.conforming, "conforming"), (verdict.accepted, "accepted"), (verdict.well_formed, "well formed"))
    return VerdictRow(
        verdict.transcript_id,
        verdict.case_id,
        verdict.tool,
        verdict.category,
        next((name for holds, name in ladder if holds), "failed"),
        verdict.cause,
        verdict.sentence,
        verdict.repeat,
    )


def transcript_view(transcript: Transcript, verdict: Verdict) -> TranscriptView:
    """Return a conversation with its verdict; the first failing layer's span is the part that is marked."""
    turns = list(transcript.turns) or [_only_turn(transcript)]
    begins = [turn.message_index for turn in turns]
    messages = list(transcript.messages)
    return TranscriptView(
        row=verdict_row(verdict),
        prompt=messages[: begins[0]],
        answers=tuple(
            _answer_view(
                turn,
                messages,
                replies=messages[begins[place - 1] + 1 : begins[place]] if place else (),
                cut=cut(_text(messages, turn), verdict, place),
            )
            for place, turn in enumerate(turns)
        ),
        layers=list(verdict.layers),
        stop=transcript.stop.replace("_", " "),
        style_notes=tuple(verdict.style_notes),
    )


def _only_turn(transcript: Transcript) -> AnswerTurn:
    return AnswerTurn(
        message_index=max(0, len(transcript.messages) - 1),
        token_ids=transcript.token_ids,
        finish_reason=transcript.finish_reason,
        num_prompt_tokens=transcript.num_prompt_tokens,
        num_cached_tokens=transcript.num_cached_tokens,
        num_generated_tokens=len(transcript.token_ids),
        prefill_seconds=transcript.prefill_seconds,
        decode_seconds=transcript.decode_seconds,
    )


def cut(text: str, verdict: Verdict, turn: int) -> tuple[str, str, str]:
    """Return the text of an answer around the span of the first failing layer, if that is in this turn."""
    failed = next((layer for layer in verdict.layers if layer.status == LayerStatus.LAYER_STATUS_FAILED), None)
    if failed is None or failed.turn != turn:
        return text, "", ""
    start = min(max(failed.span_start, 0), len(text))
    end = min(max(failed.span_end, start), len(text))
    return text[:start], text[start:end], text[end:]


def _text(messages: Sequence[Message], turn: AnswerTurn) -> str:
    # An answer that was never made has no message.
    return messages[turn.message_index].content if 0 <= turn.message_index < len(messages) else ""


def _answer_view(
    turn: AnswerTurn, messages: Sequence[Message], *, replies: Sequence[Message], cut: tuple[str, str, str]
) -> AnswerView:
    calls = calls_text(messages[turn.message_index]) if 0 <= turn.message_index < len(messages) else ()
    before, failing, after = cut
    return AnswerView(replies, before, failing, after, calls, _facts(turn), turn.detail)


def _facts(turn: AnswerTurn) -> str:
    ended = enum_text(turn, "finish_reason")
    cached = f" ({turn.num_cached_tokens:,} from a cache)" if turn.num_cached_tokens else ""
    parts = [
        f"{turn.num_prompt_tokens:,} prompt tokens{cached}",
        f"{turn.num_generated_tokens or len(turn.token_ids):,} answer tokens",
        f"ended by {ended}",
        *(
            f"{name} {seconds:.2f} s"
            for name, seconds in (
                ("waited", turn.queue_seconds),
                ("read in", turn.prefill_seconds),
                ("written in", turn.decode_seconds),
            )
            if seconds >= 0.005
        ),
    ]
    if turn.log_probs:
        parts.append(f"mean log-probability {sum(turn.log_probs) / len(turn.log_probs):.3f}")
    return " · ".join(parts)
