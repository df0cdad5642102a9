"""Metrics, to the wire."""

from drillyard.evaluator.v1 import metrics_pb2 as pb

from services.chassis.wire import to_message
from services.evaluator.domain.metrics import Metrics, Rates


def metrics_to_proto(metrics: Metrics) -> pb.Metrics:
    """Return the metrics; what the domain holds by name is a list on the wire."""
    return to_message(
        metrics,
        pb.Metrics,
        by_tool=[pb.ToolRates(tool=tool, rates=rates_to_proto(rates)) for tool, rates in metrics.by_tool.items()],
        by_cause=[pb.CauseCount(cause=cause, num_cases=count) for cause, count in metrics.by_cause.items()],
        by_category=[
            pb.CategoryRates(category=category, rates=rates_to_proto(rates))
            for category, rates in metrics.by_category.items()
        ],
        by_layer=[to_message(rate, pb.LayerRate, layer=layer) for layer, rate in metrics.by_layer.items()],
        recovery_rate=metrics.recovery.rate,
        num_recovery_cases=metrics.recovery.num_cases,
        recovery_interval=to_message(metrics.recovery.interval, pb.Interval),
    )


def rates_to_proto(rates: Rates) -> pb.Rates:
    """Return the rates."""
    return to_message(rates, pb.Rates)
