"""Reduces what the store counts to metrics."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import comb

from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.metrics import LayerRate, Metrics, Quantiles, Rates, Recovery, RepeatRate, Usage
from services.evaluator.domain.tallies import CaseTally, LayerTotal, Totals
from services.evaluator.domain.verdict import VerdictFilter
from services.evaluator.metrics.advice import advise
from services.evaluator.metrics.intervals import clustered_interval, copied_interval, mean_interval
from services.evaluator.ports import EvaluationStore
from services.protocols.verdict import LayerName

_PAGE_SIZE = 500


def reduce_tallies(cases: Sequence[CaseTally], totals: Totals, latency: Quantiles = Quantiles()) -> Metrics:
    """Return the metrics of the verdicts that `cases` and `totals` count, without advice."""
    answered = [case for case in cases if case.count]
    num_repeats = max((case.count for case in answered), default=1)
    return Metrics(
        overall=rates(cases),
        by_tool=_by(cases, [case.tool for case in cases]),
        by_cause=dict(sorted(totals.causes.items(), key=lambda entry: (-entry[1], entry[0]))),
        by_category=_by(cases, [kind_of(case.category) for case in cases]),
        by_layer={
            name.value: _layer_rate(totals.layers[name.value], num_repeats)
            for name in LayerName
            if name.value in totals.layers
        },
        by_repeats=tuple(_repeat_rate(answered, k) for k in range(1, num_repeats + 1)) if answered else (),
        flaky_rate=sum(0 < case.conforming < case.count for case in answered) / len(answered) if answered else 0.0,
        recovery=_recovery(answered),
        mean_turns=totals.num_turns / totals.num_answered if totals.num_answered else 0.0,
        usage=_usage(totals, latency),
        mean_scores={name: total.sum / total.count for name, total in sorted(totals.scores.items())},
    )


def kind_of(category: str) -> str:
    """Return the first word of a kind of task, which names its family."""
    return category.partition(".")[0]


def rates(cases: Sequence[CaseTally]) -> Rates:
    """Return the rates of the verdicts on these cases; what the machine did not answer is only counted."""
    num_unanswered = sum(case.num_unanswered for case in cases)
    cases = [case for case in cases if case.count]
    counts = [case.count for case in cases]
    total = sum(counts)
    if not total:
        return Rates(num_unanswered=num_unanswered)
    conforming, accepted, well_formed = (
        [getattr(case, name) for case in cases] for name in ("conforming", "accepted", "well_formed")
    )
    return Rates(
        num_cases=total,
        conforming_rate=sum(conforming) / total,
        accepted_rate=sum(accepted) / total,
        well_formed_rate=sum(well_formed) / total,
        conforming_interval=clustered_interval(conforming, counts),
        accepted_interval=clustered_interval(accepted, counts),
        well_formed_interval=clustered_interval(well_formed, counts),
        num_unanswered=num_unanswered,
    )


def pass_at_k(count: int, conforming: int, k: int) -> float:
    """Return the unbiased estimate of the chance that one of k answers conforms, drawn without replacement."""
    return 1 - comb(count - conforming, k) / comb(count, k)


def pass_hat_k(count: int, conforming: int, k: int) -> float:
    """Return the unbiased estimate of the chance that all of k answers conform, drawn without replacement."""
    return comb(conforming, k) / comb(count, k)


def _by(cases: Sequence[CaseTally], names: Iterable[str]) -> dict[str, Rates]:
    groups: dict[str, list[CaseTally]] = {}
    for name, case in zip(names, cases, strict=True):
        groups.setdefault(name, []).append(case)
    return {name: rates(groups[name]) for name in sorted(groups)}


def _layer_rate(total: LayerTotal, num_repeats: int) -> LayerRate:
    return LayerRate(
        num_applicable=total.num_applicable,
        num_passed=total.num_passed,
        rate=total.num_passed / total.num_applicable,
        interval=copied_interval(total.num_passed, total.num_applicable, num_repeats),
        mean_score=total.score / total.num_applicable,
    )


def _repeat_rate(cases: Sequence[CaseTally], k: int) -> RepeatRate:
    counted = [case for case in cases if case.count >= k]
    at = [pass_at_k(case.count, case.conforming, k) for case in counted]
    hat = [pass_hat_k(case.count, case.conforming, k) for case in counted]
    return RepeatRate(k, sum(at) / len(at), sum(hat) / len(hat), mean_interval(at), mean_interval(hat))


def _recovery(cases: Sequence[CaseTally]) -> Recovery:
    tried = [case for case in cases if case.num_recovering]
    if not tried:
        return Recovery()
    done, total = [case.num_recovered for case in tried], [case.num_recovering for case in tried]
    return Recovery(sum(total), sum(done) / sum(total), clustered_interval(done, total))


def _usage(totals: Totals, latency: Quantiles) -> Usage:
    return Usage(
        num_prompt_tokens=totals.num_prompt_tokens,
        num_cached_tokens=totals.num_cached_tokens,
        num_generated_tokens=totals.num_generated_tokens,
        latency=latency,
        tokens_per_second=totals.num_generated_tokens / totals.decode_seconds if totals.decode_seconds else 0.0,
    )


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
