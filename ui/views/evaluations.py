"""Metrics, verdicts and comparisons as a person sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drillyard.evaluator.v1.comparison_pb2 import Comparison
from drillyard.evaluator.v1.evaluation_pb2 import Evaluation, Metrics, Rates
from drillyard.evaluator.v1.verdict_pb2 import LayerStatus, Verdict
from drillyard.test_runner.v1.transcript_pb2 import FinishReason, Transcript

from ui.views.jobs import JobView, job_view

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


@dataclass(frozen=True)
class RatesView:
    """Shares of transcripts, 0 to 1."""

    num_cases: int
    conforming_rate: float
    accepted_rate: float
    well_formed_rate: float


@dataclass(frozen=True)
class MetricsView:
    """Rates of all cases and of each tool, and how often each cause made one fail."""

    overall: RatesView
    by_tool: dict[str, RatesView]
    by_cause: dict[str, int]


@dataclass(frozen=True)
class EvaluationView:
    """One judging of one run."""

    evaluation_id: str
    test_run_id: str
    metrics: MetricsView
    job: JobView


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


@dataclass(frozen=True)
class LayerView:
    """One question of a verdict; `status` is passed, failed or skipped."""

    name: str
    status: str
    detail: str


@dataclass(frozen=True)
class TranscriptView:
    """One conversation with its verdict; the answer is cut in three around the span that failed."""

    row: VerdictRow
    prompt: tuple[tuple[str, str], ...]
    answer_before: str
    answer_failing: str
    answer_after: str
    layers: tuple[LayerView, ...]
    finish_reason: str
    num_prompt_tokens: int
    num_answer_tokens: int
    decode_seconds: float


@dataclass(frozen=True)
class ChangeView:
    """Two evaluations of one suite, side by side."""

    before: MetricsView
    after: MetricsView
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    sentence: str


def rates_view(rates: Rates) -> RatesView:
    """Return the view of rates."""
    return RatesView(rates.num_cases, rates.conforming_rate, rates.accepted_rate, rates.well_formed_rate)


def metrics_view(metrics: Metrics) -> MetricsView:
    """Return the view of an evaluation's metrics."""
    return MetricsView(
        overall=rates_view(metrics.overall),
        by_tool={one.tool: rates_view(one.rates) for one in metrics.by_tool},
        by_cause={one.cause: one.num_cases for one in metrics.by_cause},
    )


def evaluation_view(evaluation: Evaluation) -> EvaluationView:
    """Return the view of an evaluation."""
    return EvaluationView(
        evaluation.evaluation_id, evaluation.test_run_id, metrics_view(evaluation.metrics), job_view(evaluation.job)
    )


def verdict_row(verdict: Verdict) -> VerdictRow:
    """Return a verdict's line in a list; the outcome is the best that holds."""
    ladder = ((verdict.conforming, "conforming"), (verdict.accepted, "accepted"), (verdict.well_formed, "well formed"))
    outcome = next((name for holds, name in ladder if holds), "failed")
    return VerdictRow(
        verdict.transcript_id,
        verdict.case_id,
        verdict.tool,
        verdict.category,
        outcome,
        verdict.cause,
        verdict.sentence,
    )


def transcript_view(transcript: Transcript, verdict: Verdict) -> TranscriptView:
    """Return a conversation with its verdict; the first failing layer's span is the part that is marked."""
    *prompt, answer = transcript.messages
    start, end = _failing_span(verdict, len(answer.content))
    return TranscriptView(
        row=verdict_row(verdict),
        prompt=tuple((message.role, message.content) for message in prompt),
        answer_before=answer.content[:start],
        answer_failing=answer.content[start:end],
        answer_after=answer.content[end:],
        layers=tuple(LayerView(one.name.replace("_", " "), _status(one.status), one.detail) for one in verdict.layers),
        finish_reason=FinishReason.Name(transcript.finish_reason).removeprefix("FINISH_REASON_").lower(),
        num_prompt_tokens=transcript.num_prompt_tokens,
        num_answer_tokens=len(transcript.token_ids),
        decode_seconds=transcript.decode_seconds,
    )


def change_view(before: Evaluation, after: Evaluation, comparison: Comparison) -> ChangeView:
    """Return two evaluations side by side."""
    return ChangeView(
        metrics_view(before.metrics),
        metrics_view(after.metrics),
        tuple(comparison.gained_case_ids),
        tuple(comparison.lost_case_ids),
        comparison.sentence,
    )


def sorted_causes(*counts: Iterable[str]) -> list[str]:
    """Return every cause once, in the order of the evaluator's lists."""
    return list(dict.fromkeys(cause for one in counts for cause in one))


def _failing_span(verdict: Verdict, length: int) -> tuple[int, int]:
    for layer in verdict.layers:
        if layer.status == LayerStatus.LAYER_STATUS_FAILED:
            start = min(max(layer.span_start, 0), length)
            return start, min(max(layer.span_end, start), length)
    return length, length


def _status(status: LayerStatus.ValueType) -> str:
    named = {LayerStatus.LAYER_STATUS_PASSED: "passed", LayerStatus.LAYER_STATUS_FAILED: "failed"}
    return named.get(status, "skipped")
