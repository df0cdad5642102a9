"""Compares two evaluations, and refuses those whose figures do not mean the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.chassis.errors import FailedPrecondition
from services.evaluator.domain.comparison import CauseChange, Comparison, Side, ToolChange
from services.evaluator.domain.evaluation import EvaluationRecord, Metrics, Rates, Sampling

# What both runs must share, in the words of the refusal.
_SHARED: Mapping[str, Callable[[EvaluationRecord], object]] = {
    "test suite version": lambda record: record.subject.test_suite_version_id,
    "test suite's bytes": lambda record: record.subject.test_suite_digest,
    "protocol profile": lambda record: record.subject.profile_id,
    "protocol profile's code that wrote the prompts": lambda record: record.subject.profile_digest,
    "protocol profile's code that judged": lambda record: record.judge_digest,
    "prompt size": lambda record: record.subject.prompt_size,
    "sampling": lambda record: _sampling(record.subject.sampling),
    "number of repeats": lambda record: record.subject.num_repeats,
    "seed": lambda record: record.subject.seed if record.subject.sampling.temperature else "any (greedy)",
    "number of transcripts that were judged": lambda record: record.num_verdicts,
}


def compare(before: Side, after: Side) -> Comparison:
    """Return what was gained and lost.

    Raises:
        FailedPrecondition: The two are not comparable; names every difference with both values.
    """
    refuse_different(before.record, after.record)
    gained = tuple(sorted(case for case in after.outcomes if after.outcomes[case] and not before.outcomes.get(case)))
    lost = tuple(sorted(case for case in before.outcomes if before.outcomes[case] and not after.outcomes.get(case)))
    return Comparison(
        before_evaluation_id=before.record.evaluation_id,
        after_evaluation_id=after.record.evaluation_id,
        before=before.metrics.overall,
        after=after.metrics.overall,
        by_tool=_tool_changes(before.metrics, after.metrics),
        by_cause=_cause_changes(before.metrics, after.metrics),
        gained_case_ids=gained,
        lost_case_ids=lost,
        sentence=_sentence(before.metrics.overall, after.metrics.overall, len(gained), len(lost)),
    )


def refuse_different(before: EvaluationRecord, after: EvaluationRecord) -> None:
    """Return when the figures of both mean the same.

    Raises:
        FailedPrecondition: Something that both must share differs.
    """
    differences = [
        f"the {name} ({value_of(before)} and {value_of(after)})"
        for name, value_of in _SHARED.items()
        if value_of(before) != value_of(after)
    ]
    if differences:
        raise FailedPrecondition(
            f"The evaluations are not comparable; these differ: {', '.join(differences)}.",
            "Compare evaluations of complete runs with the same suite version, prompt size and sampling.",
        )


def _tool_changes(before: Metrics, after: Metrics) -> tuple[ToolChange, ...]:
    tools = sorted({*before.by_tool, *after.by_tool})
    return tuple(
        ToolChange(tool, before.by_tool.get(tool, Rates()), after.by_tool.get(tool, Rates())) for tool in tools
    )


def _cause_changes(before: Metrics, after: Metrics) -> tuple[CauseChange, ...]:
    causes = {*before.by_cause, *after.by_cause}
    changes = [CauseChange(cause, before.by_cause.get(cause, 0), after.by_cause.get(cause, 0)) for cause in causes]
    return tuple(sorted(changes, key=lambda change: (-abs(change.num_after - change.num_before), change.cause)))


def _sentence(before: Rates, after: Rates, num_gained: int, num_lost: int) -> str:
    rise = after.conforming_rate - before.conforming_rate
    verb = "rose" if rise > 0 else "fell" if rise < 0 else "stayed"
    course = (
        f"from {before.conforming_rate:.1%} to {after.conforming_rate:.1%}"
        if rise
        else f"at {after.conforming_rate:.1%}"
    )
    gains = f"{_cases(num_gained)} gained, {num_lost} lost, of {after.num_cases} answers"
    return f"The conforming rate {verb} {course}: {gains}."


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def _sampling(sampling: Sampling) -> str:
    if not sampling.temperature:
        return f"greedy up to {sampling.max_new_tokens} tokens"
    return (
        f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, top_k {sampling.top_k}, "
        f"up to {sampling.max_new_tokens} tokens"
    )
