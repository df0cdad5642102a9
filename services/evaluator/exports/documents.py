"""One JSON object: provenance, metrics and verdicts."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from services.evaluator.domain.verdict import Verdict
from services.evaluator.exports.provenance import provenance_document
from services.evaluator.exports.source import Source


async def write_json(source: Source) -> AsyncGenerator[str]:
    """Yield the object in pieces; its verdicts are in the order of judging."""
    record = source.record
    head = {
        "evaluation_id": record.evaluation_id,
        "state": source.state,
        "create_time": source.create_time,
        "end_time": source.end_time,
        "provenance": provenance_document(record, source.run),
        "metrics": asdict(source.metrics),
        "comparison": asdict(source.before.comparison) if source.before else None,
        "facts": [vars(fact) for fact in source.facts],
    }
    yield f'{json.dumps(head, ensure_ascii=False)[:-1]}, "verdicts": ['
    separator = "\n"
    async for verdict in source.verdicts():
        yield separator + json.dumps(verdict_document(verdict), ensure_ascii=False)
        separator = ",\n"
    yield "\n]}\n"


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as a JSON document."""
    return {**asdict(verdict), "layer": verdict.layer}
