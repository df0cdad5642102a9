"""Parity: how far two forms of one model agree, and every rule that finds the guilty step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition
from services.evaluator.comparison.parity import Form, check_parity
from services.evaluator.convert import parity_to_proto
from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.parity import AnswerDifference, Outcome, OutcomePair, Parity, RunDifference
from services.evaluator.domain.run import Endpoint, Provenance
from services.evaluator.metrics.intervals import share_interval
from tests.unit.evaluator.bench import CASES, Bench, sampling, subject

GOOD, BAD = Outcome(True, True, True, "", ""), Outcome(False, False, False, "no_call", "call_present")
SAME = RunDifference(4, 4, ())


def form(*, dtype: str = "", template: str = "", **changes: Any) -> Form:
    record = EvaluationRecord("eval-1", replace(subject(), **changes), "sha256:judge", num_verdicts=4)
    return Form(record, Provenance(dtype=dtype, chat_template_digest=template))


def pairs(*, num_equal: int = 4, tokens: tuple[int, int] | None = (90, 90)) -> list[OutcomePair]:
    return [OutcomePair(f"c{place}", 0, GOOD, GOOD if place < num_equal else BAD, tokens) for place in range(4)]


def differing(*places: int, field: str = "messages") -> RunDifference:
    found = tuple(AnswerDifference(f"c{3 - n}", 0, field, 0, place, "one", "other") for n, place in enumerate(places))
    return RunDifference(4, 4 - len(places), found)


def checked(
    before: Form, after: Form, answers: RunDifference = SAME, outcomes: Sequence[OutcomePair] | None = None
) -> Parity:
    return check_parity(before, after, answers, pairs() if outcomes is None else outcomes)


def test_forms_that_say_the_same_have_no_guilty_step() -> None:
    found = checked(form(template="sha256:a"), form(template="sha256:b"))
    assert (found.guilty_step, found.equal_answers_rate, found.equal_verdicts_rate) == ("none", 1.0, 1.0)
    assert found.sentence == "4 of 4 answers and 4 of 4 verdicts are the same. Nothing is to be done."


def test_equal_answers_with_other_verdicts_are_not_the_same() -> None:
    assert checked(form(), form(), SAME, pairs(num_equal=3)).guilty_step != "none"


def test_other_template_digests_blame_the_template() -> None:
    found = checked(form(template="sha256:a"), form(template="sha256:b"), differing(0))
    assert found.guilty_step == "template"
    assert "different digests" in found.sentence and "template doctor" in found.sentence


def test_other_numbers_of_prompt_tokens_blame_the_template() -> None:
    found = checked(form(template="sha256:a"), form(), differing(0), pairs(tokens=(90, 97)))
    assert found.guilty_step == "template"
    assert "the prompt of c0 has 90 tokens in one form and 97 in the other" in found.sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": sampling(temperature=0.7)},
        {"sampling": sampling(max_new_tokens=8)},
        {"endpoint": Endpoint("http://127.0.0.1:1/v1", "m", tool_mode="prompt")},
        {"endpoint": Endpoint("http://127.0.0.1:1/v1", "m", stop=("x",))},
    ],
)
def test_other_settings_blame_the_sampling(changes: dict[str, Any]) -> None:
    found = checked(form(dtype="float32"), form(dtype="bfloat16", **changes), differing(30))
    assert found.guilty_step == "sampling"


def test_another_seed_blames_the_sampling_only_where_answers_are_sampled() -> None:
    hot = sampling(temperature=1.0)
    assert checked(form(seed=1, sampling=hot), form(seed=2, sampling=hot), differing(3)).guilty_step == "sampling"
    assert checked(form(seed=1), form(seed=2), differing(3)).guilty_step == "weights"


def test_the_same_text_in_other_tokens_blames_the_tokenizer() -> None:
    found = checked(form(dtype="float32"), form(dtype="q4_1"), differing(30, field="token_ids"))
    assert found.guilty_step == "tokens"


def test_late_differences_of_other_number_formats_blame_the_precision() -> None:
    found = checked(form(dtype="float32"), form(dtype="bfloat16"), differing(2, 31), pairs(num_equal=3))
    assert found.guilty_step == "precision"
    assert "float32 and bfloat16, and 1 of 2 differences come after 8 equal tokens" in found.sentence


@pytest.mark.parametrize(
    ("dtypes", "places"),
    [
        (("float32", "bfloat16"), (0, 1, 30)),  # most differ at once
        (("float32", "bfloat16"), (-1, -1)),  # no place is known
        (("float32", "float32"), (30,)),
        (("float32", ""), (30,)),
    ],
)
def test_what_is_left_blames_the_weights(dtypes: tuple[str, str], places: tuple[int, ...]) -> None:
    assert checked(form(dtype=dtypes[0]), form(dtype=dtypes[1]), differing(*places)).guilty_step == "weights"


def test_what_else_differs_in_the_runs_is_told_beside_the_weights() -> None:
    answers = replace(differing(0), provenance_differences=("The digest of the adapter differs.",))
    assert "(besides: The digest of the adapter differs.)" in checked(form(), form(), answers).sentence


def test_shares_have_intervals_and_differences_have_causes() -> None:
    found = checked(form(), form(), differing(5), pairs(num_equal=3))
    assert (found.equal_answers_rate, found.equal_verdicts_rate) == (0.75, 0.75)
    assert found.equal_answers_interval == found.equal_verdicts_interval == share_interval(3, 4)
    message = parity_to_proto(found)
    [one] = message.differences
    assert (one.case_id, one.token_index, one.before, one.after) == ("c3", 5, "one", "other")
    assert (one.cause_before, one.cause_after, message.guilty_step) == ("", "no_call", "weights")


def test_forms_that_were_asked_otherwise_are_refused() -> None:
    with pytest.raises(FailedPrecondition, match="prompt size"):
        checked(form(), form(prompt_size="full"))


async def test_parity_of_two_evaluations_joins_answers_and_verdicts() -> None:
    bench = Bench()
    before = await bench.evaluated(subject("run-1"))
    after = await bench.evaluated(replace(subject("run-2"), model_version_id="tiny@2"), wrong=(3,))
    lost = AnswerDifference(CASES[2].case_id, 0, "messages", 0, 4, "<read", "I wo")
    bench.runs.difference = RunDifference(13, 12, (lost,))
    found = await bench.comparisons.check_parity(before, after)
    assert (found.num_compared, found.equal_verdicts_rate) == (13, pytest.approx(12 / 13))
    assert [(one.answer.case_id, one.cause_after) for one in found.differences] == [(CASES[2].case_id, "no_call")]


async def test_an_evaluation_that_is_not_finished_has_no_parity() -> None:
    bench = Bench()
    before = await bench.evaluated(subject("run-1"))
    bench.runs.add(subject("run-2"))
    going = await bench.evaluations.create("r", "run-2")
    with pytest.raises(FailedPrecondition, match="QUEUED"):
        await bench.comparisons.check_parity(before, going.job.job_id)
