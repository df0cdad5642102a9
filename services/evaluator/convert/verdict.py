"""Verdicts, to the wire."""

from __future__ import annotations

from drillyard.evaluator.v1 import verdict_pb2

from services.evaluator.domain.verdict import Layer, Verdict


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
        sentence=verdict.sentence,
        layers=map(_layer, verdict.layers),
    )


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
