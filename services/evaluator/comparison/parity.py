"""Parity: how far two forms of one model agree, and which step between them is to blame.

The guilty step is decided by facts, the first of these rules that holds:

1. `none`: all answers and all verdicts are the same.
2. `template`: both runs know the digest of their chat template and the digests differ, or the prompts of a case have
   different numbers of tokens, so the models did not read the same.
3. `sampling`: temperature, limits, seed, stop texts, the way functions were offered or request settings differ.
4. `tokens`: an answer has the same text in both forms but other token ids, so the tokenizers differ.
5. `precision`: both number formats are known and differ, and in at least half of the differences whose token is known,
   it is not among the first eight: the forms agree until rounding tips one close choice.
6. `weights`: all of the above are the same, or are not known, and the answers still differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.evaluator.comparison.refusal import different_settings, refuse_other_cases
from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.parity import GuiltyStep, Outcome, OutcomePair, Parity, ParityDifference, RunDifference
from services.evaluator.domain.run import Provenance
from services.evaluator.metrics.intervals import clustered_interval, copied_interval

_LATE = 8
_NUM_OTHERS = 3

_NEXT_STEPS = {
    GuiltyStep.NONE: "Nothing is to be done.",
    GuiltyStep.TEMPLATE: "Give both forms the same chat template and check it with the template doctor.",
    GuiltyStep.SAMPLING: "Run both forms with the same settings, greedy at best, and check again.",
    GuiltyStep.TOKENS: "Convert the form again with the tokenizer of the other one.",
    GuiltyStep.PRECISION: "Use a wider number format, or accept the difference if the verdicts agree.",
    GuiltyStep.WEIGHTS: "Check that the adapter was applied or merged, and make the form again from the same version.",
}


@dataclass(frozen=True)
class Form:
    """One form of the model: its evaluation, and what its run ran with."""

    record: EvaluationRecord
    provenance: Provenance


def check_parity(before: Form, after: Form, answers: RunDifference, pairs: Sequence[OutcomePair]) -> Parity:
    """Return how far two forms agree.

    Raises:
        FailedPrecondition: They did not answer the same prompts, or were not judged by the same rules.
    """
    refuse_other_cases(before.record, after.record)
    step, fact = _guilty(before, after, answers, pairs)
    num_equal = sum(pair.before == pair.after for pair in pairs)
    compared = answers.num_compared
    return Parity(
        before_evaluation_id=before.record.evaluation_id,
        after_evaluation_id=after.record.evaluation_id,
        num_compared=compared,
        equal_answers_rate=answers.num_equal_answers / compared if compared else 0.0,
        equal_answers_interval=copied_interval(answers.num_equal_answers, compared, before.record.subject.num_repeats),
        equal_verdicts_rate=num_equal / len(pairs) if pairs else 0.0,
        equal_verdicts_interval=clustered_interval(*_equal_by_case(pairs)),
        differences=_with_causes(answers, pairs),
        guilty_step=step,
        sentence=_sentence(answers, num_equal, len(pairs), fact, step),
    )


def _guilty(before: Form, after: Form, answers: RunDifference, pairs: Sequence[OutcomePair]) -> tuple[GuiltyStep, str]:
    """Return the guilty step by the rules above, and the fact that decided."""
    is_same = answers.num_equal_answers == answers.num_compared and not answers.differences
    if is_same and all(pair.before == pair.after for pair in pairs):
        return GuiltyStep.NONE, "all answers are the same"
    if fact := _other_prompt(before.provenance, after.provenance, pairs):
        return GuiltyStep.TEMPLATE, fact
    if settings := different_settings(before.record, after.record):
        return GuiltyStep.SAMPLING, f"these settings differ: {', '.join(settings)}"
    if any(difference.field == "token_ids" for difference in answers.differences):
        return GuiltyStep.TOKENS, "the same text is made of other tokens"
    if fact := _other_precision(before.provenance, after.provenance, answers):
        return GuiltyStep.PRECISION, fact
    others = f" (besides: {' '.join(answers.provenance_differences[:_NUM_OTHERS])})" * bool(
        answers.provenance_differences
    )
    return GuiltyStep.WEIGHTS, f"prompts, settings and tokens are the same as far as they are known{others}"


def _other_prompt(before: Provenance, after: Provenance, pairs: Sequence[OutcomePair]) -> str:
    digests = {before.chat_template_digest, after.chat_template_digest}
    if len(digests) > 1 and "" not in digests:
        return "the chat templates have different digests"
    for pair in pairs:
        if pair.prompt_tokens and pair.prompt_tokens[0] != pair.prompt_tokens[1]:
            num_before, num_after = pair.prompt_tokens
            return f"the prompt of {pair.case_id} has {num_before} tokens in one form and {num_after} in the other"
    return ""


def _other_precision(before: Provenance, after: Provenance, answers: RunDifference) -> str:
    if not (before.dtype and after.dtype) or before.dtype == after.dtype:
        return ""
    places = [difference.token_index for difference in answers.differences if difference.token_index >= 0]
    num_late = sum(place >= _LATE for place in places)
    if not places or 2 * num_late < len(places):
        return ""
    return (
        f"the number formats are {before.dtype} and {after.dtype}, and {num_late} of {len(places)} differences come "
        f"after {_LATE} equal tokens"
    )


def _equal_by_case(pairs: Sequence[OutcomePair]) -> tuple[list[int], list[int]]:
    equal: dict[str, int] = {}
    total: dict[str, int] = {}
    for pair in pairs:
        total[pair.case_id] = total.get(pair.case_id, 0) + 1
        equal[pair.case_id] = equal.get(pair.case_id, 0) + (pair.before == pair.after)
    return [equal[case_id] for case_id in total], list(total.values())


def _with_causes(answers: RunDifference, pairs: Sequence[OutcomePair]) -> tuple[ParityDifference, ...]:
    pair_of = {(pair.case_id, pair.repeat): pair for pair in pairs}
    nothing = Outcome(False, False, False, "", "")
    differences = []
    for difference in answers.differences:
        pair = pair_of.get((difference.case_id, difference.repeat))
        before, after = (pair.before, pair.after) if pair else (nothing, nothing)
        differences.append(ParityDifference(difference, before.cause, after.cause))
    return tuple(differences)


def _sentence(answers: RunDifference, num_equal: int, num_pairs: int, fact: str, step: GuiltyStep) -> str:
    shares = (
        f"{answers.num_equal_answers} of {answers.num_compared} answers and {num_equal} of {num_pairs} verdicts are "
        "the same"
    )
    if answers.num_unanswered:
        shares += f" ({answers.num_unanswered} without an answer on one side are left out)"
    blame = "" if step is GuiltyStep.NONE else f"; the guilty step is {step.value}: {fact}"
    return f"{shares}{blame}. {_NEXT_STEPS[step]}"
