"""Compares two evaluations case by case: what was gained and lost, and what chance may have done."""

from collections import Counter
from collections.abc import Mapping, Sequence

from services.evaluator.comparison.refusal import refuse_different
from services.evaluator.domain.comparison import CaseChange, CauseChange, Change, Comparison, Difference, Side
from services.evaluator.domain.metrics import Metrics, Rates
from services.evaluator.domain.tallies import CaseTally, Failing
from services.evaluator.metrics.intervals import paired_interval, sign_test

_SURE = 0.05


def compare(before: Side, after: Side) -> Comparison:
    """Return what was gained and lost; a case is gained when all its repeats conform and not all did before.

    Repeats that one side has no answer to are neither.

    Raises:
        FailedPrecondition: The two are not comparable; names every difference with both values.
    """
    refuse_different(before.record, after.record)
    old, new = _by_id(before.cases), _by_id(after.cases)
    gains = _changes(new, old, before.failing, is_gain=True)
    losses = _changes(old, new, after.failing, is_gain=False)
    conforming = _difference(old, new, "conforming")
    return Comparison(
        before_evaluation_id=before.record.evaluation_id,
        after_evaluation_id=after.record.evaluation_id,
        before=before.metrics.overall,
        after=after.metrics.overall,
        by_tool=_rate_changes(before.metrics.by_tool, after.metrics.by_tool),
        by_cause=_cause_changes(before.metrics, after.metrics),
        by_category=_rate_changes(before.metrics.by_category, after.metrics.by_category),
        conforming=conforming,
        accepted=_difference(old, new, "accepted"),
        well_formed=_difference(old, new, "well_formed"),
        gains=gains,
        losses=losses,
        sentence=_sentence(before.metrics.overall, after.metrics.overall, len(gains), len(losses)),
        advice=(*_about_chance(conforming), *_about_losses(losses), *after.metrics.advice, *_about_runs(before, after)),
    )


def _by_id(cases: Sequence[CaseTally]) -> dict[str, CaseTally]:
    return {case.case_id: case for case in cases if case.count}


def _changes(
    now: Mapping[str, CaseTally], then: Mapping[str, CaseTally], failing: Mapping[str, Failing], *, is_gain: bool
) -> tuple[CaseChange, ...]:
    """Return the cases that conform in `now` and not in `then`, whose failures are `failing`."""
    changes = []
    for case_id in sorted(now.keys() & then.keys()):
        case, other = now[case_id], then[case_id]
        if case.conforming < case.count or other.conforming == other.count:
            continue
        why = failing.get(case_id)
        cause, sentence = (why.cause, why.sentence) if why else ("", "")
        causes = {"cause_before": cause, "cause_after": ""} if is_gain else {"cause_before": "", "cause_after": cause}
        changes.append(CaseChange(case_id, case.tool, case.category, sentence=sentence, **causes))
    return tuple(changes)


def _difference(old: Mapping[str, CaseTally], new: Mapping[str, CaseTally], name: str) -> Difference:
    shared = sorted(old.keys() & new.keys())
    changes = [_share(new[case_id], name) - _share(old[case_id], name) for case_id in shared]
    mean = sum(changes) / len(changes) if changes else 0.0
    num_up, num_down = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    return Difference(mean, paired_interval(changes), sign_test(num_up, num_down))


def _share(case: CaseTally, name: str) -> float:
    number: int = getattr(case, name)
    return number / case.count


def _rate_changes(before: Mapping[str, Rates], after: Mapping[str, Rates]) -> tuple[Change, ...]:
    return tuple(
        Change(name, before.get(name, Rates()), after.get(name, Rates())) for name in sorted({*before, *after})
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
    return f"The conforming rate {verb} {course}: {gains}.{_about_unanswered(before, after)}"


def _about_unanswered(before: Rates, after: Rates) -> str:
    if not before.num_unanswered and not after.num_unanswered:
        return ""
    return (
        f" Not answered were {before.num_unanswered} before and {after.num_unanswered} after; they count for nothing: "
        "finish them before you decide."
    )


def _about_chance(difference: Difference) -> list[str]:
    if not difference.mean or difference.p_value <= _SURE:
        return []
    return [
        f"The change may be chance (exact sign test p = {difference.p_value:.2f}): "
        "test on more cases before you act on it."
    ]


def _about_losses(losses: Sequence[CaseChange]) -> list[str]:
    counts = Counter((loss.tool, loss.cause_after) for loss in losses)
    groups = [f"{count} of {tool} by {cause or 'an unknown cause'}" for (tool, cause), count in counts.most_common(3)]
    if not groups:
        return []
    return [
        f"{_cases(len(losses))} that conformed before fail now, among them {', '.join(groups)}: keep such examples in."
    ]


def _about_runs(before: Side, after: Side) -> list[str]:
    earlier, later = before.record.subject, after.record.subject
    sentences = []
    if earlier.throughput != later.throughput:
        sentences.append(
            "Only one of the runs lifted the fixed batch plan, so single answers may differ by rounding alone."
        )
    if (earlier.endpoint is None) != (later.endpoint is None):
        sentences.append("Only one of the runs was answered by an endpoint, whose template and precision are its own.")
    elif earlier.endpoint and later.endpoint and earlier.endpoint.num_ctx != later.endpoint.num_ctx:
        sentences.append(
            f"The endpoints were asked for contexts of {earlier.endpoint.num_ctx} and {later.endpoint.num_ctx} tokens."
        )
    return sentences


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"
