"""Verdicts, to the wire, and answers to judge, from it."""

from drillyard.evaluator.v1 import verdict_pb2

from services.evaluator.convert.transcript import message_from_proto
from services.evaluator.domain.verdict import Layer, Verdict
from services.evaluator.usecases.judgements import AnswerToJudge, JudgedAnswer


def verdict_to_proto(verdict: Verdict) -> verdict_pb2.Verdict:
    """Return the verdict."""
    return verdict_pb2.Verdict(
        transcript_id=verdict.transcript_id,
        case_id=verdict.case_id,
        repeat=verdict.repeat,
        tool=verdict.tool,
        category=verdict.category,
        conforming=verdict.conforming,
        accepted=verdict.accepted,
        well_formed=verdict.well_formed,
        cause=verdict.cause,
        fault=verdict.fault,
        is_sole=verdict.is_sole,
        sentence=verdict.sentence,
        layers=map(_layer, verdict.layers),
        num_turns=verdict.num_turns,
        had_client_error=verdict.had_client_error,
        scores=verdict.scores,
        style_notes=verdict.style_notes,
        sequence=verdict.sequence,
    )


def answer_from_proto(request: verdict_pb2.JudgeRequest) -> AnswerToJudge:
    """Return the answer to judge."""
    return AnswerToJudge(
        profile_id=request.profile_id,
        case_document=request.case_document,
        answer=request.answer,
        finish_reason=request.finish_reason,
        further_answers=tuple(request.further_answers),
        key=request.key,
        messages=tuple(map(message_from_proto, request.messages)),
        tools=tuple(request.tools),
    )


def judged_to_proto(judged: JudgedAnswer) -> verdict_pb2.JudgedAnswer:
    """Return the result."""
    verdict = verdict_to_proto(judged.verdict) if judged.verdict else None
    return verdict_pb2.JudgedAnswer(key=judged.key, verdict=verdict, problem=judged.problem)


def _layer(layer: Layer) -> verdict_pb2.Layer:
    start, end = layer.span or (0, 0)
    return verdict_pb2.Layer(
        name=layer.name,
        status=verdict_pb2.LayerStatus.Value(f"LAYER_STATUS_{layer.status.name}"),
        detail=layer.detail,
        span_start=start,
        span_end=end,
        score=layer.score,
        turn=layer.turn,
    )
