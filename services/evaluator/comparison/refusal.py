"""Refuses to set side by side evaluations whose figures do not mean the same."""

from collections.abc import Callable, Mapping

from services.chassis.errors import FailedPrecondition
from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.run import Endpoint, Sampling

_Fact = Callable[[EvaluationRecord], object]

# What any two evaluations must share, in the words of the refusal.
_SAME_CASES: Mapping[str, _Fact] = {
    "test suite version": lambda record: record.subject.test_suite_version_id,
    "test suite's bytes": lambda record: record.subject.test_suite_digest,
    "protocol profile": lambda record: record.subject.profile_id,
    "protocol profile's code that wrote the prompts": lambda record: record.subject.profile_digest,
    "protocol profile's code that judged": lambda record: record.judge_digest,
    "prompt size": lambda record: record.subject.prompt_size,
    "number of repeats": lambda record: record.subject.num_repeats,
}
# What two forms of one model may differ in, since that is then the finding; a comparison may not.
_SAME_SETTINGS: Mapping[str, _Fact] = {
    "sampling": lambda record: sampling_words(record.subject.sampling),
    "seed": lambda record: record.subject.seed if record.subject.sampling.temperature else "any (greedy)",
    "way in which functions were offered": lambda record: _of_endpoint(record, lambda endpoint: endpoint.tool_mode),
    "texts at which an answer ends": lambda record: _of_endpoint(
        record, lambda endpoint: " ".join(map(repr, endpoint.stop))
    ),
    "further request settings": lambda record: _of_endpoint(record, lambda endpoint: endpoint.extra_body),
}
_RUN_ALIKE = "Compare evaluations of complete runs with the same suite version, prompt size and sampling."
_JUDGE_AGAIN = "Start a new evaluation of each run, so that the same release judges both, and compare those."
_SAME_NUMBER: Mapping[str, _Fact] = {"number of transcripts that were judged": lambda record: record.num_verdicts}


def refuse_different(before: EvaluationRecord, after: EvaluationRecord) -> None:
    """Return when the figures of both mean the same.

    Raises:
        FailedPrecondition: Something that both must share differs; names every difference with both values.
    """
    _refuse({**_SAME_CASES, **_SAME_SETTINGS, **_SAME_NUMBER}, before, after)


def refuse_other_cases(before: EvaluationRecord, after: EvaluationRecord) -> None:
    """Return when both judged answers to the same prompts by the same rules, however the answers were sampled.

    Raises:
        FailedPrecondition: They did not; names every difference with both values.
    """
    _refuse(_SAME_CASES, before, after)


def different_settings(before: EvaluationRecord, after: EvaluationRecord) -> list[str]:
    """Return what differs in how answers were sampled, with both values."""
    return _differences(_SAME_SETTINGS, before, after)


def sampling_words(sampling: Sampling) -> str:
    """Return how answers were sampled, in a few words."""
    if not sampling.temperature:
        return f"greedy up to {sampling.max_new_tokens} tokens"
    words = [f"{name} {value:g}" for name, value in vars(sampling).items() if value and name != "max_new_tokens"]
    return f"{', '.join(words)}, up to {sampling.max_new_tokens} tokens"


def _refuse(facts: Mapping[str, _Fact], before: EvaluationRecord, after: EvaluationRecord) -> None:
    differences = _differences(facts, before, after)
    if differences:
        is_older = before.judge_digest != after.judge_digest
        raise FailedPrecondition(
            f"The evaluations are not comparable; these differ: {', '.join(differences)}.",
            _JUDGE_AGAIN if is_older and len(differences) == 1 else _RUN_ALIKE,
        )


def _differences(facts: Mapping[str, _Fact], before: EvaluationRecord, after: EvaluationRecord) -> list[str]:
    return [
        f"the {name} ({value_of(before)} and {value_of(after)})"
        for name, value_of in facts.items()
        if value_of(before) != value_of(after)
    ]


def _of_endpoint(record: EvaluationRecord, fact: Callable[[Endpoint], str]) -> str:
    return (fact(record.subject.endpoint) if record.subject.endpoint else "") or "the profile's own"
