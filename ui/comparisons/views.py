"""Two evaluations side by side as a person sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from drillyard.evaluator.v1.comparison_pb2 import CaseChange, Comparison, Difference
from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.evaluator.v1.verdict_pb2 import Verdict

from ui.evaluations.views import MetricsView, interval_ends, metrics_view
from ui.shared.words import local_time, percent_text
from ui.test_runs.views import TestRunView

_SURE = 0.05
CONFORMS = "conforms"


@dataclass(frozen=True)
class DifferenceView:
    """How much a rate rose; `is_sure` when chance would seldom do that."""

    name: str
    before: float
    after: float
    points: str
    interval: str
    p_value: str
    is_sure: bool


@dataclass(frozen=True)
class ChangeView:
    """Two evaluations of one suite, side by side."""

    before: MetricsView
    after: MetricsView
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    sentence: str
    evaluation_ids: tuple[str, str]
    model_ids: tuple[str, str]
    differences: tuple[DifferenceView, ...]
    gains: tuple[CaseChange, ...]
    losses: tuple[CaseChange, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class MatrixView:
    """Verdicts by tool and cause, before and after; the first column is of those that conform."""

    causes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]


def change_view(before: Evaluation, after: Evaluation, comparison: Comparison) -> ChangeView:
    """Return two evaluations side by side."""
    old, new = metrics_view(before.metrics), metrics_view(after.metrics)
    return ChangeView(
        before=old,
        after=new,
        gained=tuple(comparison.gained_case_ids),
        lost=tuple(comparison.lost_case_ids),
        sentence=comparison.sentence,
        evaluation_ids=(before.evaluation_id, after.evaluation_id),
        model_ids=(before.model_version_id or "endpoint", after.model_version_id or "endpoint"),
        differences=tuple(
            _difference(
                name, getattr(old.overall, f"{field}_rate"), getattr(new.overall, f"{field}_rate"), difference=result
            )
            for name, field, result in (
                ("conforming", "conforming", comparison.conforming),
                ("accepted by the client", "accepted", comparison.accepted),
                ("well formed", "well_formed", comparison.well_formed),
            )
        ),
        gains=tuple(comparison.gains),
        losses=tuple(comparison.losses),
        advice=tuple(comparison.advice),
    )


def matrix_view(before: Iterable[Verdict], after: Iterable[Verdict]) -> MatrixView:
    """Return how the verdicts of each tool were spread over causes, before and after."""
    old, new = _counted(before), _counted(after)
    cells = {*old, *new}
    totals: Counter[str] = Counter()
    for (_, cause), count in (*old.items(), *new.items()):
        totals[cause] += count
    causes = sorted((cause for cause in totals if cause != CONFORMS), key=lambda cause: (-totals[cause], cause))
    columns = (CONFORMS, *causes)
    rows = tuple(
        (tool, tuple((old[tool, cause], new[tool, cause]) for cause in columns))
        for tool in sorted({tool for tool, _ in cells})
    )
    return MatrixView(columns, rows)


def why_incomparable(before: TestRunView, after: TestRunView, *, as_forms: bool = False) -> str:
    """Return what keeps two runs from being set side by side; empty when they can be.

    Args:
        before: The one run.
        after: The other.
        as_forms: They are two forms of one model, which may differ in how answers were sampled.
    """
    for run in (after, before):
        if run.evaluation is None:
            return "it is not judged"
        if run.evaluation.job.state != "succeeded":
            return f"its evaluation is {run.evaluation.job.state}"
    for name, item, other in _shared(before, after, as_forms=as_forms):
        if item != other:
            return f"another {name}: {other}, not {item}"
    return ""


def _shared(before: TestRunView, after: TestRunView, *, as_forms: bool) -> Iterable[tuple[str, str, str]]:
    yield "suite", before.test_suite_version_id, after.test_suite_version_id
    yield "prompt size", before.prompt_size, after.prompt_size
    yield "number of repeats", str(before.num_repeats), str(after.num_repeats)
    yield "version of the protocol's rules", before.profile_digest[:19], after.profile_digest[:19]
    if not as_forms:
        yield "sampling", before.sampling, after.sampling
        yield "number of answers", str(before.num_transcripts), str(after.num_transcripts)


def _difference(name: str, before: float, after: float, *, difference: Difference) -> DifferenceView:
    low, high = interval_ends(difference.interval)
    return DifferenceView(
        name=name,
        before=before,
        after=after,
        points=_points(difference.mean),
        interval=f"{_points(low)} to {_points(high)}",
        p_value="below 0.001" if difference.p_value < 0.001 else f"{difference.p_value:.3f}",
        is_sure=bool(difference.mean) and difference.p_value <= _SURE,
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _counted(verdicts: Iterable[Verdict]) -> Counter[tuple[str, str]]:
    return Counter((verdict.tool, CONFORMS if verdict.conforming else verdict.cause) for verdict in verdicts)


def run_label(run: TestRunView, zone: str = "") -> str:
    """Return a run in one line, for lists to choose from; its time is told in a zone."""
    is_judged = run.evaluation is not None and run.evaluation.job.is_final
    result = (
        percent_text(run.evaluation.metrics.overall.conforming_rate) if is_judged and run.evaluation else run.job.state
    )
    time = local_time(run.job.create_seconds, zone) if run.job.create_seconds else ""
    return " · ".join(part for part in (run.subject, run.test_suite_version_id, result, time) if part)
