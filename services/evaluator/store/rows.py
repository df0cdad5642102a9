"""Rows of this service's tables, to the domain and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.grader import ModelGrader
from services.evaluator.domain.metrics import Metrics
from services.evaluator.domain.run import Subject
from services.evaluator.domain.tallies import Totals
from services.evaluator.domain.verdict import Layer, Spent, Verdict

_METRICS = TypeAdapter(Metrics)
_TOTALS = TypeAdapter(Totals)
_SPENT = tuple(Spent.__dataclass_fields__)
_FLAT = tuple(name for name in Verdict.__dataclass_fields__ if name not in ("layers", "style_notes", "spent"))


def evaluation_row(record: EvaluationRecord) -> dict[str, Any]:
    """Return the row of an evaluation."""
    return {
        "evaluation_id": record.evaluation_id,
        "test_run_id": record.subject.test_run_id,
        "subject": record.subject.to_document(),
        "judge_digest": record.judge_digest,
        "num_verdicts": record.num_verdicts,
        "grader": asdict(record.grader) if record.grader else None,
        "num_graded": record.num_graded,
        "totals": totals_document(record.totals or Totals()),
    }


def to_evaluation(row: Mapping[Any, Any]) -> EvaluationRecord:
    """Return the evaluation of a row."""
    return EvaluationRecord(
        evaluation_id=row["evaluation_id"],
        subject=Subject.from_document(row["subject"]),
        judge_digest=row["judge_digest"],
        num_verdicts=row["num_verdicts"],
        ordinal=row["ordinal"],
        grader=ModelGrader(**row["grader"]) if row["grader"] else None,
        num_graded=row["num_graded"],
        totals=_TOTALS.validate_python(row["totals"]) if row["totals"] else None,
        metrics=_METRICS.validate_python(row["metrics"]) if row["metrics"] else None,
    )


def totals_document(totals: Totals) -> dict[str, Any]:
    """Return the JSON form of totals."""
    return asdict(totals)


def metrics_document(metrics: Metrics) -> Any:
    """Return the JSON form of metrics."""
    return _METRICS.dump_python(metrics, mode="json")


def verdict_row(evaluation_id: str, item: Verdict) -> dict[str, Any]:
    """Return the row of a verdict."""
    return {
        "evaluation_id": evaluation_id,
        **{name: getattr(item, name) for name in _FLAT},
        **{name: getattr(item.spent, name) for name in _SPENT},
        "layer": item.layer,
        "layers": [layer.to_document() for layer in item.layers],
        "style_notes": list(item.style_notes),
    }


def to_verdict(row: Mapping[Any, Any]) -> Verdict:
    """Return the verdict of a row."""
    return Verdict(
        **{name: row[name] for name in _FLAT},
        layers=tuple(map(Layer.from_document, row["layers"])),
        style_notes=tuple(row["style_notes"]),
        spent=Spent(**{name: row[name] for name in _SPENT}),
    )
