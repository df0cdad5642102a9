"""Metrics of an evaluation as it stands in its store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.metrics import Metrics
from services.evaluator.domain.tallies import Totals
from services.evaluator.domain.verdict import VerdictFilter
from services.evaluator.metrics.advice import advise
from services.evaluator.metrics.reduction import reduce_tallies
from services.evaluator.ports import EvaluationStore

_PAGE_SIZE = 500


async def gather_metrics(store: EvaluationStore, record: EvaluationRecord) -> Metrics:
    """Return the final metrics where they are stored, else those of the verdicts so far."""
    if record.metrics is not None:
        return record.metrics
    # Verdicts go on being stored while they are read: all figures are of those that the record counts.
    evaluation_id, through = record.evaluation_id, record.num_verdicts
    cases = await store.case_tallies(evaluation_id, through)
    totals = await current_totals(store, record)
    latency = await store.latency_quantiles(evaluation_id, through)
    failing = await store.failing(evaluation_id, through)

    def reduce() -> Metrics:
        metrics = reduce_tallies(cases, totals, latency)
        return replace(metrics, advice=advise(failing, metrics.by_tool, totals))

    return await asyncio.to_thread(reduce)


async def current_totals(store: EvaluationStore, record: EvaluationRecord) -> Totals:
    """Return the totals that are stored, or count again where an earlier release made verdicts without them."""
    if record.totals is not None and record.totals.count == record.num_verdicts:
        return record.totals
    totals, after = Totals(), 0
    while page := await store.list_verdicts(
        record.evaluation_id, VerdictFilter(), after_sequence=after, limit=_PAGE_SIZE
    ):
        totals.add(page)
        after = page[-1].sequence
    return totals
