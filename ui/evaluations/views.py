"""Metrics of evaluations as a person sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.evaluator.v1.metrics_pb2 import Interval, LayerRate, Metrics, Rates

from ui.shared.jobs import JobView, job_view
from ui.shared.words import percent_text

CAUSE_SENTENCES = {
    "no_call": "The answer holds no tool call.",
    "wrong_format": "A call in a foreign format that the client does not see.",
    "unclosed": "A tag of the call is not closed.",
    "several_calls": "More than one call.",
    "text_after": "Text after the call.",
    "unknown_tool": "A tool that does not exist.",
    "forbidden_tool": "A tool that the mode does not offer.",
    "missing_parameter": "A required parameter is missing.",
    "bad_value": "A parameter's value cannot be read.",
    "wrong_tool": "A valid call of the wrong tool.",
    "wrong_arguments": "The right tool with wrong arguments.",
    "effect_failed": "The edit does not apply.",
    "wrong_result": "The edit applies and gives a wrong text.",
    "needless_call": "A call where none was needed.",
    "stopped": "The answer stops before its work is done.",
    "truncated_by_limit": "Cut off by the token limit.",
    "template_fault": "The chat template broke the prompt.",
    "backend_fault": "The backend failed on this case.",
}


LAYER_SENTENCES = {
    "call_present": "There is a call that the client sees.",
    "parses": "Its form can be read.",
    "one_and_last": "It is the only call, and nothing follows it.",
    "known_tool": "The tool exists.",
    "offered": "The tool is offered in this mode.",
    "required_parameters": "No required parameter is missing.",
    "valid_values": "Every value can be read.",
    "right_tool": "The tool is the one that the task needs.",
    "right_arguments": "The arguments are the ones that the task needs.",
    "effect": "What the call does is right.",
    "task_done": "The whole task is done.",
    "no_needless_call": "No call where none was needed.",
}


@dataclass(frozen=True)
class MetricsView:
    """What an evaluation's verdicts come to: rates, failures by cause, and what the answers took."""

    overall: Rates
    by_tool: dict[str, Rates]
    by_cause: dict[str, int]
    by_category: dict[str, Rates]
    by_layer: tuple[LayerRate, ...]
    facts: tuple[tuple[str, str], ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class EvaluationView:
    """One judging of one run."""

    evaluation_id: str
    test_run_id: str
    metrics: MetricsView
    job: JobView
    is_incomplete: bool


def interval_ends(interval: Interval) -> tuple[float, float]:
    """Return both ends of an interval."""
    return interval.low, interval.high


def metrics_view(metrics: Metrics) -> MetricsView:
    """Return the view of an evaluation's metrics."""
    return MetricsView(
        overall=metrics.overall,
        by_tool={item.tool: item.rates for item in metrics.by_tool},
        by_cause={item.cause: item.num_cases for item in metrics.by_cause},
        by_category={item.category: item.rates for item in metrics.by_category},
        by_layer=tuple(metrics.by_layer),
        facts=(*_repeat_facts(metrics), *_usage_facts(metrics), *_score_facts(metrics)),
        advice=tuple(metrics.advice),
    )


def evaluation_view(evaluation: Evaluation) -> EvaluationView:
    """Return the view of an evaluation."""
    return EvaluationView(
        evaluation.evaluation_id,
        evaluation.test_run_id,
        metrics_view(evaluation.metrics),
        job_view(evaluation.job),
        evaluation.is_incomplete,
    )


def sorted_causes(*counts: Iterable[str]) -> list[str]:
    """Return every cause once, in the order of the evaluator's lists."""
    return list(dict.fromkeys(cause for count in counts for cause in count))


def _share_text(rate: float, interval: Interval) -> str:
    return f"{percent_text(rate)} ({percent_text(interval.low)} to {percent_text(interval.high)})"


def _repeat_facts(metrics: Metrics) -> Iterable[tuple[str, str]]:
    if len(metrics.by_repeats) > 1:
        for repeat in metrics.by_repeats:
            yield (
                f"pass@{repeat.k}, at least one of {repeat.k}",
                _share_text(repeat.pass_at_k, repeat.pass_at_k_interval),
            )
            yield f"pass^{repeat.k}, all of {repeat.k}", _share_text(repeat.pass_hat_k, repeat.pass_hat_k_interval)
        yield "cases whose repeats disagree", percent_text(metrics.flaky_rate)
    if metrics.num_recovery_cases:
        rate = _share_text(metrics.recovery_rate, metrics.recovery_interval)
        yield "recovered after an error of the client", f"{rate} of {metrics.num_recovery_cases}"
    if metrics.mean_turns:
        yield "answers per case", f"{metrics.mean_turns:.2f}"


def _usage_facts(metrics: Metrics) -> Iterable[tuple[str, str]]:
    usage = metrics.usage
    if usage.num_prompt_tokens:
        yield "prompt tokens", f"{usage.num_prompt_tokens:,}, of them {usage.num_cached_tokens:,} from a cache"
    if usage.num_generated_tokens:
        yield "answer tokens", f"{usage.num_generated_tokens:,}"
    if usage.latency.p50:
        p50, p95, p99 = usage.latency.p50, usage.latency.p95, usage.latency.p99
        yield "seconds per case", f"{p50:.2f} median · {p95:.2f} p95 · {p99:.2f} p99"
    if usage.tokens_per_second:
        yield "tokens per second of writing", f"{usage.tokens_per_second:.0f}"


def _score_facts(metrics: Metrics) -> Iterable[tuple[str, str]]:
    for name in sorted(metrics.mean_scores):
        yield f"mean score: {name.replace('_', ' ')}", f"{metrics.mean_scores[name]:.3f}"
