"""Metrics, to the wire."""

from __future__ import annotations

from drillyard.evaluator.v1 import evaluation_pb2

from services.evaluator.domain.metrics import Interval, LayerRate, Metrics, Rates, RepeatRate, Usage


def metrics_to_proto(metrics: Metrics) -> evaluation_pb2.Metrics:
    """Return the metrics."""
    return evaluation_pb2.Metrics(
        overall=rates_to_proto(metrics.overall),
        by_tool=[
            evaluation_pb2.ToolRates(tool=tool, rates=rates_to_proto(rates)) for tool, rates in metrics.by_tool.items()
        ],
        by_cause=[evaluation_pb2.CauseCount(cause=cause, num_cases=count) for cause, count in metrics.by_cause.items()],
        by_category=[
            evaluation_pb2.CategoryRates(category=category, rates=rates_to_proto(rates))
            for category, rates in metrics.by_category.items()
        ],
        by_layer=[_layer_rate(name, rate) for name, rate in metrics.by_layer.items()],
        by_repeats=map(_repeat_rate, metrics.by_repeats),
        flaky_rate=metrics.flaky_rate,
        recovery_rate=metrics.recovery.rate,
        num_recovery_cases=metrics.recovery.num_cases,
        recovery_interval=interval_to_proto(metrics.recovery.interval),
        mean_turns=metrics.mean_turns,
        usage=_usage(metrics.usage),
        advice=metrics.advice,
        mean_scores=metrics.mean_scores,
    )


def rates_to_proto(rates: Rates) -> evaluation_pb2.Rates:
    """Return the rates."""
    return evaluation_pb2.Rates(
        num_cases=rates.num_cases,
        conforming_rate=rates.conforming_rate,
        accepted_rate=rates.accepted_rate,
        well_formed_rate=rates.well_formed_rate,
        conforming_interval=interval_to_proto(rates.conforming_interval),
        accepted_interval=interval_to_proto(rates.accepted_interval),
        well_formed_interval=interval_to_proto(rates.well_formed_interval),
    )


def interval_to_proto(interval: Interval) -> evaluation_pb2.Interval:
    """Return the interval."""
    return evaluation_pb2.Interval(low=interval.low, high=interval.high)


def _layer_rate(name: str, rate: LayerRate) -> evaluation_pb2.LayerRate:
    return evaluation_pb2.LayerRate(
        layer=name,
        num_applicable=rate.num_applicable,
        num_passed=rate.num_passed,
        rate=rate.rate,
        interval=interval_to_proto(rate.interval),
        mean_score=rate.mean_score,
    )


def _repeat_rate(rate: RepeatRate) -> evaluation_pb2.RepeatRate:
    return evaluation_pb2.RepeatRate(
        k=rate.k,
        pass_at_k=rate.pass_at_k,
        pass_hat_k=rate.pass_hat_k,
        pass_at_k_interval=interval_to_proto(rate.pass_at_k_interval),
        pass_hat_k_interval=interval_to_proto(rate.pass_hat_k_interval),
    )


def _usage(usage: Usage) -> evaluation_pb2.Usage:
    return evaluation_pb2.Usage(
        num_prompt_tokens=usage.num_prompt_tokens,
        num_cached_tokens=usage.num_cached_tokens,
        num_generated_tokens=usage.num_generated_tokens,
        latency=evaluation_pb2.Quantiles(p50=usage.latency.p50, p95=usage.latency.p95, p99=usage.latency.p99),
        tokens_per_second=usage.tokens_per_second,
    )
